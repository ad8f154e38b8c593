//! `init = "calibrated"`: gates and scale of a twin from what the base's attention does on some text.
//!
//! After Taylor-Calibrate, with its targets for decay and write strength; but the output gate starts open, not
//! near zero, and the scale of a head goes into the output projection, since the norm before it undoes any
//! scale of the values.

use burn::tensor::{DType, Tensor, TensorData};

use super::Pass;
use super::full::FullAttention;
use dtr_ops::{KvCache, attention, attention_weights, merge_heads};

/// Elements that the weights of an observed attention may have; more rows than fit are left out.
const MOST_WEIGHTS: usize = 1 << 25;

/// What a layer's attention does with hidden states.
pub struct Observed {
    /// The hidden states that it sees, `[b, t, d]`.
    pub(super) x_btd: Tensor<3>,
    /// Their pass, without padding.
    pub(super) pass: Pass,
    /// What its heads say before the output projection, `[b, t, h·k]`.
    heads_btd: Tensor<3>,
    /// Mean distance of each head's attention, in tokens.
    distance: Vec<f64>,
    /// Mean entropy of each head's attention, as a share of the most that is possible.
    entropy: Vec<f64>,
}

impl Observed {
    /// Looks at `base` on the first rows of `x_btd`, as many as memory allows. What is seen is kept in f32, as twins are.
    pub fn new(base: &FullAttention, x_btd: &Tensor<3>, pass: &Pass) -> Self {
        let [batch, time, _] = x_btd.dims();
        let [_, heads, _, _] = base.project(x_btd.clone().narrow(0, 0, 1), pass)[0].dims();
        let rows = (MOST_WEIGHTS / (heads * time * time)).clamp(1, batch);
        let x_btd = x_btd.clone().narrow(0, 0, rows);
        let [queries, keys, values] = base.project(x_btd.clone(), pass).map(|x| x.cast(DType::F32));
        let weights = attention_weights(queries.clone(), keys.clone(), &pass.mask);
        let heads_btd = merge_heads(attention(queries, &KvCache::new(keys, values), &pass.mask));
        Self {
            pass: pass.clone(),
            heads_btd,
            distance: by_head(weights.clone() * distances(time, &weights)),
            entropy: by_head(entropies(weights)),
            x_btd: x_btd.cast(DType::F32),
        }
    }

    /// The decay rate of each head that halves a key over the head's mean distance.
    pub(super) fn decay(&self) -> Vec<f64> {
        let rate = |distance: &f64| (std::f64::consts::LN_2 / distance.max(1e-6)).clamp(1e-3, 5.0);
        self.distance.iter().map(rate).collect()
    }

    /// The write strength of each head: sharp attention writes strongly.
    pub(super) fn write_strength(&self) -> Vec<f64> {
        self.entropy.iter().map(|entropy| 0.3 + 0.4 * (1.0 - entropy.clamp(0.0, 1.0))).collect()
    }

    /// Rows of a projection without bias that say `values` to every hidden state, as nearly as multiples of the
    /// mean state can by least squares: `[values, d]`.
    pub(super) fn rows_that_say(&self, values: &[f32]) -> Tensor<2> {
        let [batch, time, width] = self.x_btd.dims();
        let x_nd = self.x_btd.clone().reshape([batch * time, width]);
        let mean = x_nd.clone().mean_dim(0);
        let along = x_nd.matmul(mean.clone().transpose());
        let scale = along.clone().mean() / along.square().mean().add_scalar(1e-12);
        let column = TensorData::new(values.to_vec(), [values.len(), 1]);
        Tensor::<2>::from_data(column, &mean.device()).matmul(mean * scale.unsqueeze::<2>())
    }

    /// The factor of each head that brings `heads_btd` closest to what the base's heads say, within a factor of
    /// ten: `[h]`.
    pub(super) fn fit(&self, heads_btd: Tensor<3>, num_heads: usize) -> Tensor<1> {
        let [batch, time, width] = heads_btd.dims();
        let sum = |x_btd: Tensor<3>| {
            x_btd
                .reshape([batch * time, num_heads, width / num_heads])
                .sum_dim(2)
                .sum_dim(0)
                .reshape([num_heads])
        };
        let shared = sum(heads_btd.clone() * self.heads_btd.clone());
        let own = sum(heads_btd.square()).add_scalar(1e-12);
        (shared / own).clamp(0.1, 10.0)
    }
}

/// `t - s` for each query and key, `[1, 1, t, s]`.
fn distances(time: usize, like: &Tensor<4>) -> Tensor<4> {
    let values = (0..time).flat_map(|query| (0..time).map(move |key| query.saturating_sub(key) as f32));
    let values: Vec<f32> = values.collect();
    Tensor::from_data(TensorData::new(values, [1, 1, time, time]), &like.device())
}

/// `-w ln w / ln(number of keys)` of each weight; the first query has one key and is left out.
fn entropies(weights_bhts: Tensor<4>) -> Tensor<4> {
    let [_, _, time, _] = weights_bhts.dims();
    if time < 2 {
        return weights_bhts.zeros_like();
    }
    let weights = weights_bhts.narrow(2, 1, time - 1);
    let most: Vec<f32> = (2..=time).map(|keys| (keys as f32).ln()).collect();
    let most = Tensor::<4>::from_data(TensorData::new(most, [1, 1, time - 1, 1]), &weights.device());
    weights.clone() * weights.clamp_min(1e-30).log().neg() / most
}

/// The sum over keys, and its mean over rows and queries, of each head.
fn by_head(x_bhts: Tensor<4>) -> Vec<f64> {
    let [_, heads, _, _] = x_bhts.dims();
    let means = x_bhts.sum_dim(3).mean_dim(2).mean_dim(0).reshape([heads]);
    let means: Vec<f32> = means.into_data().try_to_vec().expect("weights are f32");
    means.into_iter().map(f64::from).collect()
}

/// The number whose softplus is `y`, above 0.
pub(super) fn inverse_softplus(y: f64) -> f64 {
    y + (-(-y).exp_m1()).ln()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::testing::decoder;

    const TIME: usize = 9;

    /// A layer whose queries are all zero, so that attention is uniform, over some hidden states.
    fn uniform() -> Observed {
        let base = decoder(false, false);
        let mut attention = base.attention(0).clone();
        attention.projections.q_proj.weight = attention.projections.q_proj.weight.zeros_like();
        let device = Device::flex();
        device.seed(1);
        let x = Tensor::random([3, TIME, 32], Distribution::Normal(0.5, 1.0), &device);
        Observed::new(&attention, &x, &Pass::new(&base.config, 3, TIME, 0, None, &device))
    }

    #[test]
    fn uniform_attention_has_all_entropy_and_half_the_past_as_distance() {
        let observed = uniform();
        for head in 0..4 {
            // Query t looks back by t/2 on average.
            assert!((observed.distance[head] - (TIME - 1) as f64 / 4.0).abs() < 1e-5);
            assert!((observed.entropy[head] - 1.0).abs() < 1e-5, "{}", observed.entropy[head]);
        }
        assert!((observed.decay()[0] - std::f64::consts::LN_2 / 2.0).abs() < 1e-5);
        assert!((observed.write_strength()[0] - 0.3).abs() < 1e-5);
    }

    #[test]
    fn rows_say_their_value_to_states_with_a_mean() {
        let observed = uniform();
        let rows = observed.rows_that_say(&[1.0, -2.0]);
        let said = observed.x_btd.clone().reshape([3 * TIME, 32]).matmul(rows.transpose());
        let mean: Vec<f32> = said.mean_dim(0).into_data().try_to_vec().unwrap();
        // Nearly 1: least squares shrinks by what the states scatter.
        assert!((0.8..=1.0).contains(&mean[0]) && (mean[1] + 2.0 * mean[0]).abs() < 1e-4, "{mean:?}");
    }

    #[test]
    fn a_head_is_scaled_to_the_bases() {
        let observed = uniform();
        let heads = observed.heads_btd.clone().mul_scalar(0.25);
        let scale: Vec<f32> = observed.fit(heads.clone(), 4).into_data().try_to_vec().unwrap();
        assert!(scale.iter().all(|scale| (scale - 4.0).abs() < 1e-3), "{scale:?}");
        let opposed: Vec<f32> = observed.fit(heads.neg(), 4).into_data().try_to_vec().unwrap();
        assert_eq!(opposed, [0.1; 4]);
    }

    #[test]
    fn a_softplus_is_undone() {
        for y in [1e-3, 0.1, 1.0, 80.0_f64] {
            assert!((inverse_softplus(y).exp().ln_1p() - y).abs() < 1e-9 * y.max(1.0), "{y}");
        }
    }
}
