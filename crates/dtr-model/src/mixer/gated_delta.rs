//! The gates and the gated delta rule of Gated DeltaNet and JetBlock.

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::attention_stats::inverse_softplus;
use super::linear_projection::Linear;
use super::{AttentionStats, ForwardContext, TwinGeometry};
use crate::{Initializer, ParamMut, ParamSource};
use dtr_core::error::Result;

/// The gated delta rule (arXiv 2412.06464) with two gates for each head. The write strength is
/// `β = sigmoid(b_proj x)`, doubled if negative eigenvalues are allowed. The log decay is
/// `g = −exp(A_log) · softplus(a_proj x + dt_bias)`.
#[derive(Clone)]
pub struct GatedDeltaRule {
    /// The projection of the decay, `[h, d]`.
    a_proj: Linear,
    /// The projection of the write strength, `[h, d]`.
    b_proj: Linear,
    /// `A_log` in the formula of the log decay, `[h]`.
    a_log: Tensor<1>,
    /// `dt_bias` in the formula of the log decay, `[h]`.
    dt_bias: Tensor<1>,
    beta_scale: f64,
}

/// Samples the logarithm of a uniform number between 0.001 and 16. In flash-linear-attention, the lower bound
/// is 0, but the logarithm of 0 is infinite.
fn sample_a_log(rng: &mut ChaCha8Rng) -> f32 {
    rng.random_range(1e-3_f32..16.0).ln()
}

/// Samples the inverse softplus of a time step that is log-uniform between 0.001 and 0.1.
fn sample_dt_bias(rng: &mut ChaCha8Rng) -> f32 {
    let (low, high) = (0.001_f32.ln(), 0.1_f32.ln());
    let step = rng.random_range(low..high).exp().max(1e-4);
    step + (-(-step).exp_m1()).ln()
}

impl GatedDeltaRule {
    /// Returns the number of parameters of the gates.
    pub(super) fn num_parameters(geometry: &TwinGeometry) -> usize {
        2 * geometry.num_heads * geometry.hidden_size + 2 * geometry.num_heads
    }

    pub(super) fn new(
        geometry: &TwinGeometry,
        allow_neg_eigval: bool,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (heads, width) = (geometry.num_heads, geometry.hidden_size);
        let mut project = |part: &str| {
            Linear::new(params, &format!("{name}.{part}"), [heads, width], Initializer::fan_in(width))
        };
        let (a_proj, b_proj) = (project("a_proj")?, project("b_proj")?);
        let mut vector = |part: &str, sample: fn(&mut ChaCha8Rng) -> f32| {
            params.f32_vector(&format!("{name}.{part}"), heads, Initializer::Sample(sample))
        };
        let (a_log, dt_bias) = (vector("A_log", sample_a_log)?, vector("dt_bias", sample_dt_bias)?);
        let beta_scale = if allow_neg_eigval { 2.0 } else { 1.0 };
        Ok(Self { a_proj, b_proj, a_log, dt_bias, beta_scale })
    }

    /// Sets the decay and the write strength of each head from `stats`. The decay then does not depend on the
    /// hidden state until training changes the projection.
    pub(super) fn calibrate(&mut self, stats: &AttentionStats) {
        let device = stats.x_btd.device();
        let step: Vec<f32> = stats.decay_rates().iter().map(|&rate| inverse_softplus(rate) as f32).collect();
        let logits: Vec<f32> = stats
            .write_strengths()
            .iter()
            .map(|strength| strength / self.beta_scale)
            .map(|strength| (strength / (1.0 - strength)).ln() as f32)
            .collect();
        self.a_log = self.a_log.zeros_like();
        self.dt_bias = Tensor::from_data(step.as_slice(), &device);
        self.a_proj.weight = self.a_proj.weight.zeros_like();
        self.b_proj.weight = stats.approximately_constant_weight(&logits);
    }

    /// Runs the rule over queries `[b, h, t, k]`, keys `[b, g, t, k]` and values `[b, g, t, v]` from `state`.
    /// Returns the output of the heads, `[b, h, t, v]`, and the next state. A single token that continues a
    /// state takes one recurrent step. Other inputs are processed in chunks.
    pub(super) fn forward(
        &self,
        x_btd: &Tensor<3>,
        [queries, keys, values]: [Tensor<4>; 3],
        context: &ForwardContext,
        state: Option<Tensor<4>>,
    ) -> (Tensor<4>, Tensor<4>) {
        let projected = [&self.a_proj, &self.b_proj].map(|project| project.forward(x_btd.clone()));
        let gates = dtr_ops::delta_gates(projected, [&self.a_log, &self.dt_bias], self.beta_scale);
        let gates = gates.map(|gate| context.zero_padding(gate).swap_dims(1, 2));
        dtr_ops::gated_delta_rule([queries, keys, values], gates, state)
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.a_proj.visit("a_proj", visitor);
        self.b_proj.visit("b_proj", visitor);
        visitor("A_log", ParamMut::F32Vector(&mut self.a_log));
        visitor("dt_bias", ParamMut::F32Vector(&mut self.dt_bias));
    }
}
