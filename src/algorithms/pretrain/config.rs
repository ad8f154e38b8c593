//! `[pretrain]`: how a base model is trained from nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::count::Count;
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;

use crate::algorithms::training::TrainingSchedule;

/// Next-token training of a base whose source is `pretrain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PretrainConfig {
    /// Tokens seen in training.
    pub token_budget: Count,
    /// Tokens per sequence.
    pub sequence_length: usize,
    /// TokenSequences per step.
    pub batch_size: usize,
    /// TokenSequences whose gradient is computed at once; divides `batch-size`. The processor computes
    /// micro-batches side by side; a GPU wants one that fills it.
    pub micro_batch_size: usize,
    /// The optimiser and its schedule.
    pub optimizer: AdamWConfig,
    /// Seed of the first weights and of the order of the data.
    pub seed: Seed,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            token_budget: Count(50_000_000),
            sequence_length: 128,
            batch_size: 64,
            micro_batch_size: 4,
            optimizer: AdamWConfig::default(),
            seed: Seed(0),
        }
    }
}

impl PretrainConfig {
    /// Returns the optimizer steps of the pretraining.
    pub fn schedule(&self) -> TrainingSchedule {
        TrainingSchedule::new(self.token_budget, self.batch_size, self.sequence_length)
    }
}
