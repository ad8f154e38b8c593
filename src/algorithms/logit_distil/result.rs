//! The result of a logit distillation.

use serde::{Deserialize, Serialize};

/// The divergences of a hybrid in logit distillation. The trained parameters are stored separately, as an
/// artifact of the cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogitDistilResult {
    /// The number of layers of the base.
    pub num_layers: u32,
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// The number of trained parameters.
    pub num_parameters: u64,
    /// The number of tokens that the hybrid was trained on.
    pub tokens: u64,
    /// The number of optimizer steps.
    pub steps: u64,
    /// The divergence before the first step, on the first batch, in nats per token.
    pub initial_divergence: f64,
    /// The mean divergence over the last 8 steps, or over all steps if there are fewer. In nats per token.
    pub final_divergence: f64,
    /// The divergence curve.
    pub curve: Vec<DivergencePoint>,
}

/// A point of the divergence curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DivergencePoint {
    /// The number of optimizer steps done so far.
    pub step: u64,
    /// The number of tokens that the hybrid was trained on so far.
    pub tokens: u64,
    /// The mean Kullback-Leibler divergence since the previous point, in nats per token.
    pub divergence: f64,
}
