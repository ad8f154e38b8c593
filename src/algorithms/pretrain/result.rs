//! The result of training a base.

use serde::{Deserialize, Serialize};

/// The losses of a base's pretraining. The base's weights are artifacts of the cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainResult {
    /// Parameters of the base.
    pub num_parameters: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// The loss curve.
    pub curve: Vec<LossPoint>,
    /// The loss at the last point of the curve.
    pub final_loss: f64,
}

/// A point of the loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Optimizer steps done so far.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean cross entropy since the previous point, in nats per token.
    pub loss: f64,
}
