//! Measurements of a base's attention. A twin is the linear block that replaces this attention. With
//! `init = "calibrated"`, the measurements set the gates and the scale of the twin.
//!
//! The targets for decay and write strength are those of Taylor-Calibrate (arXiv 2606.16429). Two choices
//! differ from Taylor-Calibrate. First, the output gate starts open, and not near zero. Second, the output
//! projection is scaled in place of the values, because the norm after the values would cancel their scale.

use burn::tensor::{DType, Tensor, TensorData};

use super::{ForwardContext, FullAttention};
use dtr_ops::{KvCache, attention, attention_weights, merge_heads};

/// The largest number of attention weights that are held in memory at once. Rows beyond this limit are not
/// measured.
const MAX_WEIGHTS: usize = 1 << 25;

/// Measurements of a layer's full attention on some hidden states.
pub struct AttentionStats {
    /// The hidden states, `[b, t, d]`.
    pub(super) x_btd: Tensor<3>,
    /// The context of these hidden states, without padding.
    pub(super) context: ForwardContext,
    /// The output of the heads before the output projection, `[b, t, h·k]`.
    heads_btd: Tensor<3>,
    /// Mean distance between a query and the keys that it attends to, in tokens, by head.
    distances: Vec<f64>,
    /// Mean entropy of the attention weights as a share of the largest possible entropy, by head.
    entropies: Vec<f64>,
}

impl AttentionStats {
    /// Measures `base` in f32 on the first rows of `x_btd`. `MAX_WEIGHTS` limits the number of rows.
    pub fn new(base: &FullAttention, x_btd: &Tensor<3>, context: &ForwardContext) -> Self {
        let [batch, time, _] = x_btd.dims();
        let [_, heads, _, _] = base.project_and_rotate(x_btd.clone().narrow(0, 0, 1), context)[0].dims();
        let rows = (MAX_WEIGHTS / (heads * time * time)).clamp(1, batch);
        let x_btd = x_btd.clone().narrow(0, 0, rows);
        let qkv = base.project_and_rotate(x_btd.clone(), context);
        let [queries, keys, values] = qkv.map(|x| x.cast(DType::F32));
        let weights = attention_weights(queries.clone(), keys.clone(), &context.causal_mask);
        let heads_btd = merge_heads(attention(queries, &KvCache::new(keys, values), &context.causal_mask));
        Self {
            context: context.clone(),
            heads_btd,
            distances: mean_by_head(weights.clone() * key_distances(time, &weights)),
            entropies: mean_by_head(entropy_terms(weights)),
            x_btd: x_btd.cast(DType::F32),
        }
    }

    /// Returns the decay rate of each head. At this rate, the weight of a key halves over the head's mean
    /// distance.
    pub(super) fn decay_rates(&self) -> Vec<f64> {
        let rate = |distance: &f64| (std::f64::consts::LN_2 / distance.max(1e-6)).clamp(1e-3, 5.0);
        self.distances.iter().map(rate).collect()
    }

    /// Returns the write strength of each head. A head with a lower entropy gets a higher write strength.
    pub(super) fn write_strengths(&self) -> Vec<f64> {
        self.entropies.iter().map(|entropy| 0.3 + 0.4 * (1.0 - entropy.clamp(0.0, 1.0))).collect()
    }

    /// Returns the weight, `[values, d]`, of a projection that maps every hidden state approximately to
    /// `values`. Each row is a multiple of the mean hidden state. The factor is fitted by least squares.
    pub(super) fn approximately_constant_weight(&self, values: &[f32]) -> Tensor<2> {
        let [batch, time, width] = self.x_btd.dims();
        let x_nd = self.x_btd.clone().reshape([batch * time, width]);
        let mean = x_nd.clone().mean_dim(0);
        let along_mean = x_nd.matmul(mean.clone().transpose());
        let scale = along_mean.clone().mean() / along_mean.square().mean().add_scalar(1e-12);
        let column = TensorData::new(values.to_vec(), [values.len(), 1]);
        Tensor::<2>::from_data(column, &mean.device()).matmul(mean * scale.unsqueeze::<2>())
    }

    /// Returns the factor of each head, `[h]`, that fits `heads_btd` to the output of the base's heads by
    /// least squares. Factors are between 0.1 and 10.
    pub(super) fn least_squares_scale(&self, heads_btd: Tensor<3>, num_heads: usize) -> Tensor<1> {
        let [batch, time, width] = heads_btd.dims();
        let sum = |x_btd: Tensor<3>| {
            x_btd
                .reshape([batch * time, num_heads, width / num_heads])
                .sum_dim(2)
                .sum_dim(0)
                .reshape([num_heads])
        };
        let covariance = sum(heads_btd.clone() * self.heads_btd.clone());
        let variance = sum(heads_btd.square()).add_scalar(1e-12);
        (covariance / variance).clamp(0.1, 10.0)
    }
}

/// Returns the distance in tokens from each query back to each key, `[1, 1, t, s]`. The distance is 0 for
/// keys after the query.
fn key_distances(time: usize, weights: &Tensor<4>) -> Tensor<4> {
    let values = (0..time).flat_map(|query| (0..time).map(move |key| query.saturating_sub(key) as f32));
    let values: Vec<f32> = values.collect();
    Tensor::from_data(TensorData::new(values, [1, 1, time, time]), &weights.device())
}

/// Returns `-w ln w / ln(n)` for each weight `w`. `n` is the number of keys that the weight's query attends
/// to. Leaves out the first query, because it has a single key, and `ln(1)` is 0.
fn entropy_terms(weights_bhts: Tensor<4>) -> Tensor<4> {
    let [_, _, time, _] = weights_bhts.dims();
    if time < 2 {
        return weights_bhts.zeros_like();
    }
    let weights = weights_bhts.narrow(2, 1, time - 1);
    let max: Vec<f32> = (2..=time).map(|keys| (keys as f32).ln()).collect();
    let max = Tensor::<4>::from_data(TensorData::new(max, [1, 1, time - 1, 1]), &weights.device());
    weights.clone() * weights.clamp_min(1e-30).log().neg() / max
}

/// Returns the sum of `x_bhts` over the keys, averaged over rows and queries, for each head.
fn mean_by_head(x_bhts: Tensor<4>) -> Vec<f64> {
    let [_, heads, _, _] = x_bhts.dims();
    let means = x_bhts.sum_dim(3).mean_dim(2).mean_dim(0).reshape([heads]);
    let means: Vec<f32> = means.into_data().try_to_vec().expect("attention weights are f32");
    means.into_iter().map(f64::from).collect()
}

/// Returns the number whose softplus is `y`, for `y > 0`.
pub(super) fn inverse_softplus(y: f64) -> f64 {
    y + (-(-y).exp_m1()).ln()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::testing::decoder;

    const TIME: usize = 9;

    /// Measures a layer whose queries are all zero, so that its attention is uniform.
    fn uniform_attention() -> AttentionStats {
        let base = decoder(false, false);
        let mut attention = base.attention(0).clone();
        attention.projections.q_proj.weight = attention.projections.q_proj.weight.zeros_like();
        let device = Device::flex();
        device.seed(1);
        let x = Tensor::random([3, TIME, 32], Distribution::Normal(0.5, 1.0), &device);
        AttentionStats::new(&attention, &x, &ForwardContext::new(&base.config, 3, TIME, 0, None, &device))
    }

    #[test]
    fn uniform_attention_has_full_entropy_and_a_mean_distance_of_half_the_past() {
        let stats = uniform_attention();
        for head in 0..4 {
            // Query t looks back by t/2 on average.
            assert!((stats.distances[head] - (TIME - 1) as f64 / 4.0).abs() < 1e-5);
            assert!((stats.entropies[head] - 1.0).abs() < 1e-5, "{}", stats.entropies[head]);
        }
        assert!((stats.decay_rates()[0] - std::f64::consts::LN_2 / 2.0).abs() < 1e-5);
        assert!((stats.write_strengths()[0] - 0.3).abs() < 1e-5);
    }

    #[test]
    fn a_constant_projection_maps_hidden_states_to_its_values() {
        let stats = uniform_attention();
        let rows = stats.approximately_constant_weight(&[1.0, -2.0]);
        let projected = stats.x_btd.clone().reshape([3 * TIME, 32]).matmul(rows.transpose());
        let mean: Vec<f32> = projected.mean_dim(0).into_data().try_to_vec().unwrap();
        // Hidden states vary around their mean, so the fitted weight is too small, and the mean is below 1.
        assert!((0.8..=1.0).contains(&mean[0]) && (mean[1] + 2.0 * mean[0]).abs() < 1e-4, "{mean:?}");
    }

    #[test]
    fn the_scale_of_a_head_fits_the_bases_head() {
        let stats = uniform_attention();
        let heads = stats.heads_btd.clone().mul_scalar(0.25);
        let scale: Vec<f32> = stats.least_squares_scale(heads.clone(), 4).into_data().try_to_vec().unwrap();
        assert!(scale.iter().all(|scale| (scale - 4.0).abs() < 1e-3), "{scale:?}");
        let opposed: Vec<f32> = stats.least_squares_scale(heads.neg(), 4).into_data().try_to_vec().unwrap();
        assert_eq!(opposed, [0.1; 4]);
    }

    #[test]
    fn inverse_softplus_inverts_softplus() {
        for y in [1e-3, 0.1, 1.0, 80.0_f64] {
            assert!((inverse_softplus(y).exp().ln_1p() - y).abs() < 1e-9 * y.max(1.0), "{y}");
        }
    }
}
