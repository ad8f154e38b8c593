//! The settings of the optimizer that trains a hybrid after its search.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_model::optimizer::AdamWConfig;

/// Settings of AdamW in the training of hybrids, with f32 moments, linear warm-up, cosine decay, and clipping
/// by the gradient's norm. The defaults differ from those of the other trainings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TuningOptimizerConfig {
    /// Peak learning rate of the linear blocks.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Learning rate at the last step, as a fraction of the peak.
    #[schemars(range(min = 0, max = 1))]
    pub final_fraction: f64,
    /// Fraction of the steps during which the learning rate warms up.
    #[schemars(range(min = 0, max = 1))]
    pub warmup_fraction: f64,
    /// Decay rates of the first and the second moment.
    #[schemars(extend("items" = { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }))]
    pub betas: [f64; 2],
    /// Term added to the denominator of the update.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
    /// Decoupled weight decay of matrices. Biases and other vectors are not decayed.
    #[schemars(range(min = 0, max = 10))]
    pub weight_decay: f64,
    /// Maximum norm of the gradient of all trained parameters.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
    pub clip: f64,
}

impl Default for TuningOptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            final_fraction: 0.1,
            warmup_fraction: 0.02,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip: 1.0,
        }
    }
}

impl TuningOptimizerConfig {
    /// Returns the settings of AdamW, with the learning rate of the linear blocks.
    pub fn to_adamw(&self) -> AdamWConfig {
        AdamWConfig {
            learning_rate: self.learning_rate,
            final_fraction: self.final_fraction,
            warmup_fraction: self.warmup_fraction,
            betas: self.betas,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            clip: self.clip,
        }
    }
}
