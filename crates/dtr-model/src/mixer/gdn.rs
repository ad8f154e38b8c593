//! Gated DeltaNet (arXiv 2412.06464) in the layer layout of flash-linear-attention. Query heads may share
//! key/value heads.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gated_delta::GatedDeltaRule;
use super::gated_output::GatedOutput;
use super::projections::{Projections, rotate_if_rope};
use super::{AttentionStats, ForwardContext, FullAttention, MixerState, TwinGeometry};
use crate::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{ConvState, causal_conv_silu, silu};

/// Settings of Gated DeltaNet: the delta rule with a decay for each head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GdnConfig {
    /// Width of the causal depthwise convolutions on q, k and v. 0 leaves them out.
    #[schemars(range(min = 0, max = 1024))]
    pub conv_size: usize,
    /// Whether the write strength may reach 2, which allows negative eigenvalues.
    pub allow_neg_eigval: bool,
}

impl Default for GdnConfig {
    fn default() -> Self {
        Self { conv_size: 4, allow_neg_eigval: false }
    }
}

/// A Gated DeltaNet block. In addition to the projections q, k, v and o, it has convolutions on q, k and v,
/// and the gates (`2·d·h + 2·h` parameters). It also has the output gate (`d·h·v`) and the norm (`v`).
/// [`dtr_ops`] defines the letters.
#[derive(Clone)]
pub struct GdnBlock {
    projections: Projections,
    /// Depthwise kernels on q, k and v, `[channels, conv_size]` each. `None` without convolutions.
    convs: Option<[Tensor<2>; 3]>,
    delta_rule: GatedDeltaRule,
    output: GatedOutput,
    pub(super) geometry: TwinGeometry,
}

const CONV_NAMES: [&str; 3] = ["q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"];

/// Returns kernels `[channels, width]` that pass the current token through: the last weight of a kernel is 1,
/// and the other weights are 0.
pub(super) fn identity_kernels(channels: usize, width: usize) -> Initializer {
    let tap = |at: usize| if at % width == width - 1 { 1.0 } else { 0.0 };
    Initializer::Values((0..channels * width).map(tap).collect())
}

impl GdnBlock {
    /// Returns the number of parameters of the convolutions and the gates. All other parameters exist in
    /// every kind of linear block.
    pub(super) fn num_specific_parameters(gdn: &GdnConfig, geometry: &TwinGeometry) -> usize {
        let channels: usize = geometry.qkv_widths().iter().sum();
        gdn.conv_size * channels + GatedDeltaRule::num_parameters(geometry)
    }

    pub(super) fn new(
        gdn: &GdnConfig,
        geometry: TwinGeometry,
        original: Option<&FullAttention>,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let channels = geometry.qkv_widths();
        let kernel = |index: usize, params: &mut dyn ParamSource| {
            let shape = [channels[index], gdn.conv_size];
            let initializer = identity_kernels(channels[index], gdn.conv_size);
            params.matrix(&format!("{name}.{}", CONV_NAMES[index]), shape, initializer)
        };
        let convs = match gdn.conv_size {
            0 => None,
            _ => Some([kernel(0, params)?, kernel(1, params)?, kernel(2, params)?]),
        };
        let projections = original.map(|original| &original.projections);
        Ok(Self {
            projections: Projections::new(&geometry, projections, params, name)?,
            convs,
            delta_rule: GatedDeltaRule::new(&geometry, gdn.allow_neg_eigval, params, name)?,
            output: GatedOutput::new(&geometry, original, params, name)?,
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

    /// Returns the output of the recurrence by head, `[b, h, t, v]`, and the next state.
    fn run_recurrence(
        &self,
        x_btd: &Tensor<3>,
        context: &ForwardContext,
        past: Option<MixerState>,
    ) -> (Tensor<4>, MixerState) {
        let projections = &self.projections;
        let qkv = projections.forward(x_btd.clone()).map(|x| context.zero_padding(x));
        let (state, convs) = MixerState::into_recurrent(past);
        let ([q, k, v], convs) = self.convolve(qkv, convs, context);
        let queries = rotate_if_rope(projections.query_heads(q), &self.geometry, context);
        let keys = rotate_if_rope(projections.key_heads(k), &self.geometry, context);
        let values = projections.value_heads(v);
        let (output, state) = self.delta_rule.forward(x_btd, [queries, keys, values], context, state);
        (output, MixerState::Recurrent { state, convs })
    }

    /// Sets the gates and the scale of each head from measurements of the base's attention.
    pub(super) fn calibrate(&mut self, stats: &AttentionStats) {
        self.delta_rule.calibrate(stats);
        self.output.open_gate(stats);
        let (heads, _) = self.run_recurrence(&stats.x_btd, &stats.context, None);
        self.output.fit_head_scales(heads, stats);
    }

    /// Applies convolution and SiLU to q, k and v. Returns the results and the next states of the
    /// convolutions.
    fn convolve(
        &self,
        qkv: [Tensor<3>; 3],
        past: Vec<ConvState>,
        context: &ForwardContext,
    ) -> ([Tensor<3>; 3], Vec<ConvState>) {
        let Some(kernels) = &self.convs else {
            return (qkv.map(silu), Vec::new());
        };
        let mut past = past.into_iter();
        let mut next = Vec::with_capacity(3);
        let mut index = 0;
        let convolved = qkv.map(|x| {
            let (y, state) = causal_conv_silu(x.clone(), &kernels[index], past.next());
            next.push(context.conv_state(x, state));
            index += 1;
            y
        });
        (convolved, next)
    }
}

impl Parameters for GdnBlock {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        if let Some(kernels) = &mut self.convs {
            for (name, kernel) in CONV_NAMES.iter().zip(kernels) {
                visitor(name, ParamMut::Matrix(kernel));
            }
        }
        self.delta_rule.visit(visitor);
        self.output.visit(visitor);
    }
}
