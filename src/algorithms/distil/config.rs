//! The manifest's table `[distil]`: the hyperparameters of distillation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::count::Count;
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;

use crate::algorithms::training::TrainingSchedule;

/// The hyperparameters of layer-wise distillation. The twin of a layer gets the same hidden states as the
/// layer's full attention. It is trained by mean squared error to produce the attention's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DistilConfig {
    /// Number of tokens that each twin is trained on (100M in the paper). It must suffice for at least one
    /// step.
    pub token_budget: Count,
    /// Number of tokens in a training sequence.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub sequence_length: usize,
    /// Number of sequences in a training step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size: usize,
    /// The optimizer and its schedule.
    pub optimizer: AdamWConfig,
    /// Seed of the order of the data and of randomly initialized parameters.
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
    /// Returns the number and the batch shape of the optimizer steps.
    pub fn training_schedule(&self) -> TrainingSchedule {
        TrainingSchedule::new(self.token_budget, self.batch_size, self.sequence_length)
    }
}
