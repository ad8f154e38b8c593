//! `[distil]`: how twins learn from the layers they are to replace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Count;
use crate::seed::Seed;

/// Block-wise local distillation: for each layer the twin gets the hidden states that the
/// full-attention block gets and learns its output by mean squared error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Distil {
    /// Tokens of the corpus that every twin sees (the paper: 100M).
    pub token_budget: Count,
    /// Tokens per sequence.
    pub sequence_length: usize,
    /// Sequences per step.
    pub batch_size: usize,
    /// The optimiser and its schedule.
    pub optimizer: Optimizer,
    /// Seed of the order of the data and of the twins' fresh parameters.
    pub seed: Seed,
}

impl Default for Distil {
    fn default() -> Self {
        Self {
            token_budget: Count(100_000_000),
            sequence_length: 512,
            batch_size: 32,
            optimizer: Optimizer::default(),
            seed: Seed(0),
        }
    }
}

/// AdamW with f32 moments, linear warm-up, cosine decay, and clipping by the global norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Optimizer {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Learning rate at the last step, as a fraction of the peak.
    pub final_fraction: f64,
    /// Share of the steps spent warming up.
    pub warmup_fraction: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Term added to the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices; vectors and biases are never decayed.
    pub weight_decay: f64,
    /// Largest global norm of a layer's gradients.
    pub clip: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            final_fraction: 0.01,
            warmup_fraction: 0.05,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip: 1.0,
        }
    }
}
