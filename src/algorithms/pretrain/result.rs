//! The result of pretraining a base model.

use serde::{Deserialize, Serialize};

/// The losses of a base's pretraining. The base's weights are stored separately, as artifacts of the cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainResult {
    /// The number of parameters of the base.
    pub num_parameters: u64,
    /// The number of tokens that the base was trained on.
    pub tokens: u64,
    /// The number of optimizer steps.
    pub steps: u64,
    /// The loss curve.
    pub curve: Vec<LossPoint>,
    /// The loss at the last point of the curve.
    pub final_loss: f64,
}

/// A point of the loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// The number of optimizer steps done so far.
    pub step: u64,
    /// The number of tokens that the base was trained on so far.
    pub tokens: u64,
    /// The mean cross entropy since the previous point, in nats per token.
    pub loss: f64,
}
