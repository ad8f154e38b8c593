//! The result of distilling the twins of a variant.

use serde::{Deserialize, Serialize};

/// The losses of the twins of one variant. The twins' weights are stored separately, as an artifact of the
/// cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistilResult {
    /// The number of tokens that each twin was trained on.
    pub tokens: u64,
    /// The number of optimizer steps of each twin.
    pub steps: u64,
    /// The number of parameters of all twins together.
    pub num_parameters: u64,
    /// The loss of each layer's twin, in layer order.
    pub layers: Vec<LayerLoss>,
    /// The loss curve of all layers.
    pub curve: Vec<LayerCurvePoint>,
}

impl DistilResult {
    /// Returns the layers in ascending order of their twins' normalised final losses.
    pub fn layers_by_loss(&self) -> Vec<u32> {
        let mut layers: Vec<&LayerLoss> = self.layers.iter().collect();
        layers.sort_by(|one, other| one.final_normalised().total_cmp(&other.final_normalised()));
        layers.into_iter().map(|layer| layer.layer).collect()
    }
}

/// The loss of a layer's twin: the mean squared error to the output of the layer's full-attention block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerLoss {
    /// The layer, counted from 0.
    pub layer: u32,
    /// The loss before the first step.
    pub initial: f64,
    /// The mean loss over the last 8 steps, or over all steps if there are fewer.
    pub r#final: f64,
    /// The variance of the block's output. A twin that always returns the mean output has this loss.
    pub output_variance: f64,
}

impl LayerLoss {
    /// Returns the initial loss divided by the output's variance. Unlike plain losses, these quotients can be
    /// compared between layers.
    pub fn initial_normalised(&self) -> f64 {
        self.normalised(self.initial)
    }

    /// Returns the final loss divided by the output's variance: 0 for a perfect twin, 1 for a twin that
    /// always returns the mean output.
    pub fn final_normalised(&self) -> f64 {
        self.normalised(self.r#final)
    }

    fn normalised(&self, loss: f64) -> f64 {
        // The variance of a constant output is 0. Without the lower bound, a loss of 0 would give 0 / 0.
        loss / self.output_variance.max(f64::MIN_POSITIVE)
    }
}

/// A point of the loss curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerCurvePoint {
    /// The number of optimizer steps done so far.
    pub step: u64,
    /// The number of tokens that each twin was trained on so far.
    pub tokens: u64,
    /// The loss of each layer's twin, in layer order.
    pub losses: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_divided_by_the_variance_and_is_a_number_without_variance() {
        let loss = LayerLoss { layer: 0, initial: 3.0, r#final: 0.5, output_variance: 2.0 };
        assert_eq!((loss.initial_normalised(), loss.final_normalised()), (1.5, 0.25));
        assert_eq!(LayerLoss { r#final: 0.0, output_variance: 0.0, ..loss }.final_normalised(), 0.0);
    }
}
