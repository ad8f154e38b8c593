//! The manifest's table `[pretrain]`: the hyperparameters of training a base model from scratch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::count::Count;
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;

use crate::algorithms::training::TrainingSchedule;

/// The hyperparameters of pretraining. A base whose source is `pretrain` is trained from scratch to predict
/// the next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PretrainConfig {
    /// Number of tokens that the model is trained on. It must suffice for at least one step.
    pub token_budget: Count,
    /// Number of tokens in a training sequence.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub sequence_length: usize,
    /// Number of sequences in a training step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size: usize,
    /// Number of sequences whose gradient is computed at once. It must divide `batch-size`. A CPU computes
    /// several such micro-batches in parallel. For a GPU, choose a number that fills the device.
    #[schemars(range(min = 1, max = 65_536))]
    pub micro_batch_size: usize,
    /// If true, matrix products and activations are in bf16, which only a GPU supports. The weights, the
    /// moments of the optimizer and the loss stay in f32, as in PyTorch's automatic mixed precision.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mixed_precision: bool,
    /// The optimizer and its schedule.
    pub optimizer: AdamWConfig,
    /// Seed of the initial weights and of the order of the data.
    pub seed: Seed,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            token_budget: Count(50_000_000),
            sequence_length: 128,
            batch_size: 64,
            micro_batch_size: 4,
            mixed_precision: false,
            optimizer: AdamWConfig::default(),
            seed: Seed(0),
        }
    }
}

impl PretrainConfig {
    /// Returns the number and the batch shape of the optimizer steps.
    pub fn training_schedule(&self) -> TrainingSchedule {
        TrainingSchedule::new(self.token_budget, self.batch_size, self.sequence_length)
    }
}
