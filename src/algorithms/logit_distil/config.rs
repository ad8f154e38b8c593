//! The manifest's table `[logit-distil]`: the hyperparameters of logit distillation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::count::Count;
use dtr_core::seed::Seed;

use crate::algorithms::training::TrainingSchedule;
use crate::algorithms::tuning::{HybridChoice, TrainedParts, TuningOptimizerConfig};

/// The hyperparameters of logit distillation. After a search, a hybrid of the search is trained to predict
/// the next token as its base does. The loss is the Kullback-Leibler divergence of the hybrid's distribution
/// from the base's, over the whole vocabulary, at temperature 1. The text is that of `corpus`.
///
/// The trained hybrid, the same hybrid before this training, and the base are scored on the test split of the
/// search's task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LogitDistilConfig {
    /// The hybrids of each search that are trained. If the list is empty, no hybrid is trained.
    #[schemars(extend("uniqueItems" = true))]
    pub hybrids: Vec<HybridChoice>,
    /// The parts of a hybrid that are trained.
    pub train: TrainedParts,
    /// Number of tokens that a hybrid is trained on. It must suffice for at least one step.
    pub token_budget: Count,
    /// Number of tokens in a training sequence.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub sequence_length: usize,
    /// Number of sequences in a training step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size: usize,
    /// Number of sequences whose gradient is computed at once. It must divide `batch-size`. A CPU computes
    /// several such micro-batches in parallel. A GPU computes one after another.
    #[schemars(range(min = 1, max = 65_536))]
    pub micro_batch_size: usize,
    /// The optimizer and its schedule.
    pub optimizer: TuningOptimizerConfig,
    /// Seed of the order of the data.
    pub seed: Seed,
}

impl Default for LogitDistilConfig {
    fn default() -> Self {
        Self {
            hybrids: Vec::new(),
            train: TrainedParts::default(),
            token_budget: Count(50_000_000),
            sequence_length: 2048,
            batch_size: 32,
            micro_batch_size: 1,
            optimizer: TuningOptimizerConfig::default(),
            seed: Seed(0),
        }
    }
}

impl LogitDistilConfig {
    /// Returns whether no hybrid is trained.
    pub fn is_disabled(&self) -> bool {
        self.hybrids.is_empty()
    }

    /// Returns the number and the batch shape of the optimizer steps.
    pub fn training_schedule(&self) -> TrainingSchedule {
        TrainingSchedule::new(self.token_budget, self.batch_size, self.sequence_length)
    }
}
