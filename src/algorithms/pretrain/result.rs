//! The result of training a base.

use serde::{Deserialize, Serialize};

/// A base model trained from nothing; its weights are an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainResult {
    /// Parameters of the model.
    pub num_parameters: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// The training loss on the way.
    pub curve: Vec<LossPoint>,
    /// The training loss at the end, averaged over the last stretch of the curve.
    pub final_loss: f64,
}

/// A training loss, some way in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Cross entropy in nats per token.
    pub loss: f64,
}
