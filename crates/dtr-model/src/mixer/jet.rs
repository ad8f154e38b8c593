//! JetBlock (Jet-Nemotron, arXiv 2508.15884): Gated DeltaNet with a dynamic convolution on v, and no
//! convolutions on q and k. A small network generates the convolution's kernels from the hidden state.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gated_delta::GatedDeltaRule;
use super::gated_output::GatedOutput;
use super::gdn::identity_kernels;
use super::linear_projection::Linear;
use super::projections::{Projections, rotate_if_rope};
use super::{AttentionStats, ForwardContext, FullAttention, MixerState, TwinGeometry};
use crate::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{dynamic_conv_silu, silu};

/// Settings of JetBlock: Gated DeltaNet with a dynamic convolution on v, and no convolutions on q and k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct JetConfig {
    /// Width of the dynamic convolution on v, in tokens.
    #[schemars(range(min = 1, max = 1024))]
    pub conv_size: usize,
    /// Divisor of the width of v. The quotient is the hidden width of the network that generates the
    /// convolution's kernels.
    #[schemars(range(min = 1, max = 65_536))]
    pub generator_reduction: usize,
}

impl Default for JetConfig {
    fn default() -> Self {
        Self { conv_size: 4, generator_reduction: 8 }
    }
}

/// A JetBlock. In addition to the projections q, k, v and o, it has the kernel generator
/// (`d·r + r·g·v·w + g·v·w` parameters), and the gates of decay and write strength (`2·d·h + 2·h`). It also
/// has the output gate (`d·h·v`) and the norm (`v`). `r` is the hidden width of the generator, and `w` is the
/// width of the convolution. [`dtr_ops`] defines the other letters.
#[derive(Clone)]
pub struct JetBlock {
    projections: Projections,
    /// The first layer of the kernel generator, `[r, d]`.
    generator_in: Linear,
    /// The second layer of the kernel generator, with a bias, `[g·v·w, r]`. Its outputs are ordered by
    /// channel. The outputs of a channel are ordered from the oldest tap to the newest.
    generator_out: Linear,
    delta_rule: GatedDeltaRule,
    output: GatedOutput,
    conv_size: usize,
    pub(super) geometry: TwinGeometry,
}

/// Returns the hidden width of the kernel generator. `channels` is the width of v.
pub(crate) fn jet_generator_width(jet: &JetConfig, channels: usize) -> usize {
    (channels / jet.generator_reduction).max(1)
}

impl JetBlock {
    /// Returns the number of parameters of the kernel generator and of the gates of decay and write strength.
    /// All other parameters exist in every kind of linear block.
    pub(super) fn num_specific_parameters(jet: &JetConfig, geometry: &TwinGeometry) -> usize {
        let channels = geometry.num_kv_heads * geometry.value_dim;
        let (inner, taps) = (jet_generator_width(jet, channels), channels * jet.conv_size);
        inner * geometry.hidden_size + taps * inner + taps + GatedDeltaRule::num_parameters(geometry)
    }

    pub(super) fn new(
        jet: &JetConfig,
        geometry: TwinGeometry,
        original: Option<&FullAttention>,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (width, channels) = (geometry.hidden_size, geometry.num_kv_heads * geometry.value_dim);
        let (inner, taps) = (jet_generator_width(jet, channels), channels * jet.conv_size);
        let (first, second) = (format!("{name}.dynamic_conv1d.w1"), format!("{name}.dynamic_conv1d.w2"));
        let projections = original.map(|original| &original.projections);
        Ok(Self {
            projections: Projections::new(&geometry, projections, params, name)?,
            // The published constructor sets both layers to zero. Then the gradients of both layers are zero
            // too, and neither layer can learn. Here the first layer is random, so that the second layer gets
            // a gradient. The second layer starts with zero weights and with identity kernels as its bias, so
            // every generated kernel starts as the identity.
            generator_in: Linear::new(params, &first, [inner, width], Initializer::fan_in(width))?,
            generator_out: Linear::new(params, &second, [taps, inner], Initializer::Constant(0.0))?
                .with_bias(params, &second, identity_kernels(channels, jet.conv_size))?,
            delta_rule: GatedDeltaRule::new(&geometry, false, params, name)?,
            output: GatedOutput::new(&geometry, original, params, name)?,
            conv_size: jet.conv_size,
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
        let [batch, time, _] = x_btd.dims();
        let projections = &self.projections;
        let (state, mut convs) = MixerState::into_recurrent(past);
        let [q, k, v] = projections.forward(x_btd.clone());
        let v = context.zero_padding(v);
        let channels = v.dims()[2];
        let kernels = self.generator_out.forward(silu(self.generator_in.forward(x_btd.clone())));
        let kernels = kernels.reshape([batch, time, channels, self.conv_size]);
        let (convolved, conv) = dynamic_conv_silu(v.clone(), kernels, convs.pop());
        let conv = context.conv_state(v, conv);
        let queries = projections.query_heads(silu(q));
        let keys = projections.key_heads(silu(context.zero_padding(k)));
        let queries = rotate_if_rope(queries, &self.geometry, context);
        let keys = rotate_if_rope(keys, &self.geometry, context);
        let values = projections.value_heads(convolved);
        let (output, state) = self.delta_rule.forward(x_btd, [queries, keys, values], context, state);
        (output, MixerState::Recurrent { state, convs: vec![conv] })
    }

    /// Sets the gates, and the scale of each head, from measurements of the base's attention.
    pub(super) fn calibrate(&mut self, stats: &AttentionStats) {
        self.delta_rule.calibrate(stats);
        self.output.open_gate(stats);
        let (heads, _) = self.run_recurrence(&stats.x_btd, &stats.context, None);
        self.output.fit_head_scales(heads, stats);
    }
}

impl Parameters for JetBlock {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        self.generator_in.visit("dynamic_conv1d.w1", visitor);
        self.generator_out.visit("dynamic_conv1d.w2", visitor);
        self.delta_rule.visit(visitor);
        self.output.visit(visitor);
    }
}
