//! The result of distilling the twins of a variant.

use serde::{Deserialize, Serialize};

/// The linear twins of all layers of a base, for one variant; their weights are an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistilResult {
    /// Tokens seen by every twin.
    pub tokens: u64,
    /// Optimizer steps of every twin.
    pub steps: u64,
    /// Parameters of all twins together.
    pub num_parameters: u64,
    /// How close each layer's twin came, in layer order.
    pub layers: Vec<LayerLoss>,
    /// The losses of all layers on the way.
    pub curve: Vec<LayerCurvePoint>,
}

impl DistilResult {
    /// Layers by how well their twins learnt, the best first.
    pub fn layers_by_loss(&self) -> Vec<u32> {
        let mut layers: Vec<&LayerLoss> = self.layers.iter().collect();
        layers.sort_by(|one, other| one.final_normalised().total_cmp(&other.final_normalised()));
        layers.into_iter().map(|layer| layer.layer).collect()
    }
}

/// How close a layer's twin comes to the full-attention block it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerLoss {
    /// The layer.
    pub layer: u32,
    /// Mean squared error before the first step.
    pub initial: f64,
    /// Mean squared error at the end.
    pub r#final: f64,
    /// Variance of the block's output: the error of a twin that always answers with the mean.
    pub output_variance: f64,
}

impl LayerLoss {
    /// The first error as a share of the output's variance, which makes layers comparable.
    pub fn initial_normalised(&self) -> f64 {
        self.normalised(self.initial)
    }

    /// The last error as a share of the output's variance: 0 is a perfect twin, 1 one that learned the mean.
    pub fn final_normalised(&self) -> f64 {
        self.normalised(self.r#final)
    }

    fn normalised(&self, loss: f64) -> f64 {
        // A block that answers the same everywhere has no variance; its share must be a number all the same.
        loss / self.output_variance.max(f64::MIN_POSITIVE)
    }
}

/// The losses of all layers, some way in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerCurvePoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Mean squared error of each layer's twin, in layer order.
    pub losses: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_normalised_by_the_variance_and_stays_a_number_without_one() {
        let loss = LayerLoss { layer: 0, initial: 3.0, r#final: 0.5, output_variance: 2.0 };
        assert_eq!((loss.initial_normalised(), loss.final_normalised()), (1.5, 0.25));
        assert_eq!(LayerLoss { r#final: 0.0, output_variance: 0.0, ..loss }.final_normalised(), 0.0);
    }
}
