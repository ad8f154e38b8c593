//! Gated DeltaNet (arXiv 2412.06464) in the layer layout of flash-linear-attention, with key/value
//! heads repeated as activations.

use burn::tensor::Tensor;

use super::calibrate::Observed;
use super::delta::DeltaRule;
use super::full::FullAttention;
use super::parts::{Projections, Readout, TwinConfig, maybe_rotate};
use super::{MixerState, Pass};
use crate::parameters::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{ConvState, causal_conv_silu, silu};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gated DeltaNet: the delta rule with a decay per head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GdnConfig {
    /// Width of the causal depthwise convolutions on q, k and v; 0 leaves them out.
    pub conv_size: usize,
    /// Whether the write strength may reach 2, which allows negative eigenvalues.
    pub allow_neg_eigval: bool,
}

impl Default for GdnConfig {
    fn default() -> Self {
        Self { conv_size: 4, allow_neg_eigval: false }
    }
}

/// A Gated DeltaNet twin. Parameters beyond q, k, v, o: the convolutions on q, k, v, the gates
/// (`2·d·h + 2·h`), the output gate (`d·h·v`) and the norm (`v`).
#[derive(Clone)]
pub struct GdnBlock {
    projections: Projections,
    /// Depthwise kernels on q, k and v, `[channels, w]` each; none when the convolution is left out.
    convs: Option<[Tensor<2>; 3]>,
    rule: DeltaRule,
    readout: Readout,
    config: TwinConfig,
}

const CONV_NAMES: [&str; 3] = ["q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"];

/// Kernels `[channels, width]` that pass the current token through: the last tap is 1.
pub(super) fn identity_kernels(channels: usize, width: usize) -> Initializer {
    Initializer::Values(
        (0..channels * width).map(|at| if at % width == width - 1 { 1.0 } else { 0.0 }).collect(),
    )
}

impl GdnBlock {
    /// Parameters beyond those of every twin.
    pub(super) fn num_own_parameters(gdn: &GdnConfig, config: &TwinConfig) -> usize {
        let channels = (config.num_heads + config.num_kv_heads) * config.key_dim
            + config.num_kv_heads * config.value_dim;
        gdn.conv_size * channels + DeltaRule::num_parameters(config)
    }

    pub(super) fn new(
        gdn: &GdnConfig,
        config: TwinConfig,
        source: Option<&FullAttention>,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let channels = [
            config.num_heads * config.key_dim,
            config.num_kv_heads * config.key_dim,
            config.num_kv_heads * config.value_dim,
        ];
        let kernel = |index: usize, make: &mut dyn ParamSource| {
            let fill = identity_kernels(channels[index], gdn.conv_size);
            make.matrix(&format!("{name}.{}", CONV_NAMES[index]), [channels[index], gdn.conv_size], fill)
        };
        let convs = match gdn.conv_size {
            0 => None,
            _ => Some([kernel(0, make)?, kernel(1, make)?, kernel(2, make)?]),
        };
        Ok(Self {
            projections: Projections::new(&config, source.map(|s| &s.projections), make, name)?,
            convs,
            rule: DeltaRule::new(&config, gdn.allow_neg_eigval, make, name)?,
            readout: Readout::new(&config, source, make, name)?,
            config,
        })
    }

    pub(super) fn forward(
        &self,
        x_btd: Tensor<3>,
        pass: &Pass,
        past: Option<MixerState>,
    ) -> (Tensor<3>, MixerState) {
        let (output, state) = self.heads(&x_btd, pass, past);
        (self.readout.forward(output, x_btd), state)
    }

    /// What the recurrence reads, by head, `[b, h, t, v]`, and the next state.
    fn heads(&self, x_btd: &Tensor<3>, pass: &Pass, past: Option<MixerState>) -> (Tensor<4>, MixerState) {
        let project = &self.projections;
        let raw = project.forward(x_btd.clone()).map(|x| pass.blank(x));
        let (state, convs) = MixerState::recurrent(past);
        let ([q, k, v], convs) = self.convolve(raw, convs);
        let queries = maybe_rotate(project.query_heads(q), &self.config, pass);
        let keys = maybe_rotate(project.key_heads(k), &self.config, pass);
        let values = project.value_heads(v);
        let (output, state) = self.rule.forward(x_btd, [queries, keys, values], pass, state);
        (output, MixerState::Recurrent { state, convs })
    }

    /// Sets gates and scale from what the base's attention does.
    pub(super) fn calibrate(&mut self, attention: &Observed) {
        self.rule.calibrate(attention);
        self.readout.open_gate(attention);
        let (output, _) = self.heads(&attention.x_btd, &attention.pass, None);
        self.readout.fit_scale(output, attention);
    }

    /// The activations `silu` of q, k and v after their convolutions, and the next states.
    fn convolve(&self, raw: [Tensor<3>; 3], past: Vec<ConvState>) -> ([Tensor<3>; 3], Vec<ConvState>) {
        let Some(kernels) = &self.convs else {
            return (raw.map(silu), Vec::new());
        };
        let mut past = past.into_iter();
        let mut next = Vec::with_capacity(3);
        let mut index = 0;
        let mixed = raw.map(|x| {
            let (y, state) = causal_conv_silu(x, &kernels[index], past.next());
            next.push(state);
            index += 1;
            y
        });
        (mixed, next)
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
        self.rule.visit(visitor);
        self.readout.visit(visitor);
    }
}
