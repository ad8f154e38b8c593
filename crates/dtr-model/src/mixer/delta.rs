//! What Gated DeltaNet and JetBlock share: the gates and the gated delta rule.

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Pass;
use super::calibrate::{Observed, inverse_softplus};
use super::parts::{Linear, TwinConfig};
use crate::parameters::{Initializer, ParamMut, ParamSource};
use dtr_core::error::Result;

/// Write strength β and decay g of each head: `β = sigmoid(b_proj x)` (doubled where negative
/// eigenvalues are allowed), `g = −exp(A_log) · softplus(a_proj x + dt_bias)`.
#[derive(Clone)]
pub struct DeltaRule {
    /// `[h, d]`.
    a_proj: Linear,
    /// `[h, d]`.
    b_proj: Linear,
    /// `[h]`.
    a_log: Tensor<1>,
    /// `[h]`.
    dt_bias: Tensor<1>,
    beta_scale: f64,
}

/// `log U(0, 16)`, the layer's own initialisation; bounded away from `log 0`.
fn draw_a_log(rng: &mut ChaCha8Rng) -> f32 {
    rng.random_range(1e-3_f32..16.0).ln()
}

/// The inverse softplus of a time step drawn log-uniformly from 0.001 to 0.1.
fn draw_dt_bias(rng: &mut ChaCha8Rng) -> f32 {
    let (low, high) = (0.001_f32.ln(), 0.1_f32.ln());
    let step = rng.random_range(low..high).exp().max(1e-4);
    step + (-(-step).exp_m1()).ln()
}

impl DeltaRule {
    /// Parameters of the gates.
    pub(super) fn num_parameters(config: &TwinConfig) -> usize {
        2 * config.num_heads * config.hidden_size + 2 * config.num_heads
    }

    pub(super) fn new(
        config: &TwinConfig,
        allow_neg_eigval: bool,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (heads, width) = (config.num_heads, config.hidden_size);
        Ok(Self {
            a_proj: Linear::new(make, &format!("{name}.a_proj"), [heads, width], Initializer::fan_in(width))?,
            b_proj: Linear::new(make, &format!("{name}.b_proj"), [heads, width], Initializer::fan_in(width))?,
            a_log: make.exact_vector(&format!("{name}.A_log"), heads, Initializer::Draw(draw_a_log))?,
            dt_bias: make.exact_vector(&format!("{name}.dt_bias"), heads, Initializer::Draw(draw_dt_bias))?,
            beta_scale: if allow_neg_eigval { 2.0 } else { 1.0 },
        })
    }

    /// Sets decay and write strength to what [`Observed`] says of each head; the decay starts apart from the
    /// hidden state.
    pub(super) fn calibrate(&mut self, attention: &Observed) {
        let device = attention.x_btd.device();
        let step: Vec<f32> = attention.decay().iter().map(|&decay| inverse_softplus(decay) as f32).collect();
        let logit: Vec<f32> = attention
            .write_strength()
            .iter()
            .map(|strength| strength / self.beta_scale)
            .map(|strength| (strength / (1.0 - strength)).ln() as f32)
            .collect();
        self.a_log = self.a_log.zeros_like();
        self.dt_bias = Tensor::from_data(step.as_slice(), &device);
        self.a_proj.weight = self.a_proj.weight.zeros_like();
        self.b_proj.weight = attention.rows_that_say(&logit);
    }

    /// Runs the rule over queries `[b, h, t, k]`, keys `[b, g, t, k]` and values `[b, g, t, v]`
    /// from `state`; chunkwise, or as one recurrent step when a single token continues a state.
    pub(super) fn forward(
        &self,
        x_btd: &Tensor<3>,
        [queries, keys, values]: [Tensor<4>; 3],
        pass: &Pass,
        state: Option<Tensor<4>>,
    ) -> (Tensor<4>, Tensor<4>) {
        let projected = [&self.a_proj, &self.b_proj].map(|project| project.forward(x_btd.clone()));
        let gates = dtr_ops::delta_gates(projected, [&self.a_log, &self.dt_bias], self.beta_scale);
        let gates = gates.map(|gate| pass.blank(gate).swap_dims(1, 2));
        dtr_ops::gated_delta_rule([queries, keys, values], gates, state)
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.a_proj.visit("a_proj", visitor);
        self.b_proj.visit("b_proj", visitor);
        visitor("A_log", ParamMut::Exact(&mut self.a_log));
        visitor("dt_bias", ParamMut::Exact(&mut self.dt_bias));
    }
}
