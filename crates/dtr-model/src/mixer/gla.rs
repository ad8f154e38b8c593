//! Gated linear attention (arXiv 2312.06635) in the layer layout of flash-linear-attention.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention_stats::inverse_softplus;
use super::gated_output::GatedOutput;
use super::linear_projection::Linear;
use super::projections::{Projections, rotate_if_rope};
use super::{AttentionStats, ForwardContext, FullAttention, MixerState, TwinGeometry};
use crate::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::split_heads;

/// Settings of gated linear attention (GLA), which has a decay for each key channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GlaConfig {
    /// Rank of the decay gate, which is a product of two linear projections.
    #[schemars(range(min = 1, max = 65_536))]
    pub gate_low_rank_dim: usize,
    /// Divisor of the decay's logarithm. A larger divisor makes the state decay more slowly.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
    pub gate_logit_normalizer: f64,
}

impl Default for GlaConfig {
    fn default() -> Self {
        Self { gate_low_rank_dim: 16, gate_logit_normalizer: 16.0 }
    }
}

/// A GLA block. In addition to the projections q, k, v and o, it has the low-rank decay gate
/// (`d·r + r·g·k + g·k` parameters). It also has the output gate (`d·h·v`) and the norm (`v`). `r` is the
/// rank of the decay gate. [`dtr_ops`] defines the other letters.
#[derive(Clone)]
pub struct GlaBlock {
    projections: Projections,
    /// The first factor of the decay gate, `[r, d]`.
    gate_down: Linear,
    /// The second factor, with a bias, `[g·k, r]`.
    gate_up: Linear,
    output: GatedOutput,
    gate_logit_normalizer: f64,
    pub(super) geometry: TwinGeometry,
}

impl GlaBlock {
    /// Returns the number of parameters of the decay gate. All other parameters exist in every kind of linear
    /// block.
    pub(super) fn num_specific_parameters(gla: &GlaConfig, geometry: &TwinGeometry) -> usize {
        let (rank, keys) = (gla.gate_low_rank_dim, geometry.num_kv_heads * geometry.key_dim);
        rank * geometry.hidden_size + keys * rank + keys
    }

    pub(super) fn new(
        gla: &GlaConfig,
        geometry: TwinGeometry,
        original: Option<&FullAttention>,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (rank, keys) = (gla.gate_low_rank_dim, geometry.num_kv_heads * geometry.key_dim);
        let (down, up) = (format!("{name}.gk_proj.0"), format!("{name}.gk_proj.1"));
        let width = geometry.hidden_size;
        let projections = original.map(|original| &original.projections);
        Ok(Self {
            projections: Projections::new(&geometry, projections, params, name)?,
            gate_down: Linear::new(params, &down, [rank, width], Initializer::fan_in(width))?,
            gate_up: Linear::new(params, &up, [keys, rank], Initializer::fan_in(rank))?.with_bias(
                params,
                &up,
                Initializer::Constant(0.0),
            )?,
            output: GatedOutput::new(&geometry, original, params, name)?,
            gate_logit_normalizer: gla.gate_logit_normalizer,
            geometry,
        })
    }

    pub(super) fn forward(
        &self,
        x_btd: Tensor<3>,
        context: &ForwardContext,
        past: Option<MixerState>,
    ) -> (Tensor<3>, MixerState) {
        let (heads, state) = self.run_recurrence(&x_btd, context, past);
        (self.output.forward(heads, x_btd), state)
    }

    /// Returns the recurrence's output for each head, `[b, h, t, v]`, and the next state.
    fn run_recurrence(
        &self,
        x_btd: &Tensor<3>,
        context: &ForwardContext,
        past: Option<MixerState>,
    ) -> (Tensor<4>, MixerState) {
        let projections = &self.projections;
        let [q, k, v] = projections.forward(x_btd.clone());
        let (queries, keys) = (projections.query_heads(q), projections.key_heads(context.zero_padding(k)));
        let values = projections.value_heads(context.zero_padding(v));
        let decay = self.gate_up.forward(self.gate_down.forward(x_btd.clone()));
        let decay = dtr_ops::decay_gate(decay, self.gate_logit_normalizer);
        let decay = split_heads(context.zero_padding(decay), self.geometry.num_kv_heads);
        let queries = rotate_if_rope(queries, &self.geometry, context);
        let keys = rotate_if_rope(keys, &self.geometry, context);
        let (past, _) = MixerState::into_recurrent(past);
        let (output, state) = dtr_ops::gla(queries, keys, values, decay, past);
        (output, MixerState::Recurrent { state, convs: Vec::new() })
    }

    /// Sets the gates and the scale of each head from measurements of the base's attention. All key channels
    /// of a key/value head get the same decay rate, which does not depend on the hidden states. The rate is
    /// the mean of [`AttentionStats::decay_rates`] over the query heads that share the key/value head.
    pub(super) fn calibrate(&mut self, stats: &AttentionStats) {
        let (group, width) = (self.geometry.heads_per_kv_head(), self.geometry.key_dim);
        let bias: Vec<f32> = stats
            .decay_rates()
            .chunks(group)
            .map(|heads| heads.iter().sum::<f64>() / group as f64)
            .map(|decay| -inverse_softplus(decay * self.gate_logit_normalizer) as f32)
            .flat_map(|bias| std::iter::repeat_n(bias, width))
            .collect();
        let device = stats.x_btd.device();
        self.gate_up.weight = self.gate_up.weight.zeros_like();
        self.gate_up.bias = Some(Tensor::from_data(bias.as_slice(), &device));
        self.output.open_gate(stats);
        let (heads, _) = self.run_recurrence(&stats.x_btd, &stats.context, None);
        self.output.fit_head_scales(heads, stats);
    }
}

impl Parameters for GlaBlock {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        self.gate_down.visit("gk_proj.0", visitor);
        self.gate_up.visit("gk_proj.1", visitor);
        self.output.visit(visitor);
    }
}
