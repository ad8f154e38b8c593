//! `[distil]`: how twins learn from the layers they are to replace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::count::Count;
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;

use crate::algorithms::training::TrainingSchedule;

/// Block-wise local distillation: for each layer the twin gets the hidden states that the
/// full-attention block gets and learns its output by mean squared error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DistilConfig {
    /// Tokens of the corpus that every twin sees (the paper: 100M).
    pub token_budget: Count,
    /// Tokens per sequence.
    pub sequence_length: usize,
    /// TokenSequences per step.
    pub batch_size: usize,
    /// The optimiser and its schedule.
    pub optimizer: AdamWConfig,
    /// Seed of the order of the data and of the twins' fresh parameters.
    pub seed: Seed,
}

impl Default for DistilConfig {
    fn default() -> Self {
        Self {
            token_budget: Count(100_000_000),
            sequence_length: 512,
            batch_size: 32,
            optimizer: AdamWConfig::default(),
            seed: Seed(0),
        }
    }
}

impl DistilConfig {
    /// Returns the optimizer steps of the distillation.
    pub fn schedule(&self) -> TrainingSchedule {
        TrainingSchedule::new(self.token_budget, self.batch_size, self.sequence_length)
    }
}
