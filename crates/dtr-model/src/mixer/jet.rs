//! JetBlock (Jet-Nemotron, arXiv 2508.15884): Gated DeltaNet without convolutions on q and k, and
//! with a dynamic convolution on v whose kernels are generated from the hidden state.

use burn::tensor::Tensor;

use super::calibrate::Observed;
use super::delta::DeltaRule;
use super::full::FullAttention;
use super::gdn::identity_kernels;
use super::parts::{Linear, Projections, Readout, TwinConfig, maybe_rotate};
use super::{MixerState, Pass};
use crate::parameters::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{dynamic_conv_silu, silu};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// JetBlock: Gated DeltaNet with a dynamic convolution on v and none on q and k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct JetConfig {
    /// Width of the dynamic convolution on v.
    pub conv_size: usize,
    /// The value width divided by this is the kernel generator's inner width.
    pub generator_reduction: usize,
}

impl Default for JetConfig {
    fn default() -> Self {
        Self { conv_size: 4, generator_reduction: 8 }
    }
}

/// A JetBlock twin. Parameters beyond q, k, v, o: the kernel generator
/// (`d·r + r·g·v·w + g·v·w`), the gates (`2·d·h + 2·h`), the output gate (`d·h·v`) and the norm (`v`).
#[derive(Clone)]
pub struct JetBlock {
    projections: Projections,
    /// Into the generator's inner width, `[r, d]`.
    generator_in: Linear,
    /// Out of it, channel-major with the oldest tap first, with a bias, `[g·v·w, r]`.
    generator_out: Linear,
    rule: DeltaRule,
    readout: Readout,
    conv_size: usize,
    config: TwinConfig,
}

/// The kernel generator's inner width.
fn generator_width(jet: &JetConfig, channels: usize) -> usize {
    (channels / jet.generator_reduction).max(1)
}

impl JetBlock {
    /// Parameters beyond those of every twin.
    pub(super) fn num_own_parameters(jet: &JetConfig, config: &TwinConfig) -> usize {
        let channels = config.num_kv_heads * config.value_dim;
        let (inner, taps) = (generator_width(jet, channels), channels * jet.conv_size);
        inner * config.hidden_size + taps * inner + taps + DeltaRule::num_parameters(config)
    }

    pub(super) fn new(
        jet: &JetConfig,
        config: TwinConfig,
        source: Option<&FullAttention>,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let channels = config.num_kv_heads * config.value_dim;
        let inner = generator_width(jet, channels);
        let (first, second) = (format!("{name}.dynamic_conv1d.w1"), format!("{name}.dynamic_conv1d.w2"));
        Ok(Self {
            projections: Projections::new(&config, source.map(|s| &s.projections), make, name)?,
            // Both zero, as the published constructor has them, would be a fixed point: each
            // factor's gradient is the other. Random into zero starts as the identity and learns.
            generator_in: Linear::new(
                make,
                &first,
                [inner, config.hidden_size],
                Initializer::fan_in(config.hidden_size),
            )?,
            generator_out: Linear::new(
                make,
                &second,
                [channels * jet.conv_size, inner],
                Initializer::Constant(0.0),
            )?
            .with_bias(make, &second, identity_kernels(channels, jet.conv_size))?,
            rule: DeltaRule::new(&config, false, make, name)?,
            readout: Readout::new(&config, source, make, name)?,
            conv_size: jet.conv_size,
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
        let [batch, time, _] = x_btd.dims();
        let project = &self.projections;
        let (state, mut convs) = MixerState::recurrent(past);
        let [q, k, v] = project.forward(x_btd.clone());
        let raw = pass.blank(v);
        let channels = raw.dims()[2];
        let kernels = self.generator_out.forward(silu(self.generator_in.forward(x_btd.clone())));
        let kernels = kernels.reshape([batch, time, channels, self.conv_size]);
        let (v, conv) = dynamic_conv_silu(raw, kernels, convs.pop());
        let (queries, keys) = (project.query_heads(silu(q)), project.key_heads(silu(pass.blank(k))));
        let queries = maybe_rotate(queries, &self.config, pass);
        let keys = maybe_rotate(keys, &self.config, pass);
        let values = project.value_heads(v);
        let (output, state) = self.rule.forward(x_btd, [queries, keys, values], pass, state);
        (output, MixerState::Recurrent { state, convs: vec![conv] })
    }

    /// Sets gates and scale from what the base's attention does.
    pub(super) fn calibrate(&mut self, attention: &Observed) {
        self.rule.calibrate(attention);
        self.readout.open_gate(attention);
        let (output, _) = self.heads(&attention.x_btd, &attention.pass, None);
        self.readout.fit_scale(output, attention);
    }
}

impl Parameters for JetBlock {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        self.generator_in.visit("dynamic_conv1d.w1", visitor);
        self.generator_out.visit("dynamic_conv1d.w2", visitor);
        self.rule.visit(visitor);
        self.readout.visit(visitor);
    }
}
