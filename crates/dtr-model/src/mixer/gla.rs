//! Gated linear attention (arXiv 2312.06635) in the layer layout of flash-linear-attention.

use burn::tensor::Tensor;

use super::calibrate::{Observed, inverse_softplus};
use super::full::FullAttention;
use super::parts::{Linear, Projections, Readout, TwinConfig, maybe_rotate};
use super::{MixerState, Pass};
use crate::parameters::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::split_heads;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gated linear attention: a decay per key channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GlaConfig {
    /// Rank of the decay gate's projection.
    pub gate_low_rank_dim: usize,
    /// Divisor of the log decay.
    pub gate_logit_normalizer: f64,
}

impl Default for GlaConfig {
    fn default() -> Self {
        Self { gate_low_rank_dim: 16, gate_logit_normalizer: 16.0 }
    }
}

/// A GLA twin. Parameters beyond q, k, v, o: the low-rank decay gate
/// (`d·r + r·g·k + g·k`), the output gate (`d·h·v`) and the norm (`v`).
#[derive(Clone)]
pub struct GlaBlock {
    projections: Projections,
    /// Into the gate's low rank, `[r, d]`.
    gate_down: Linear,
    /// Out of it, with a bias, `[g·k, r]`.
    gate_up: Linear,
    readout: Readout,
    gate_logit_normalizer: f64,
    config: TwinConfig,
}

impl GlaBlock {
    /// Parameters beyond those of every twin.
    pub(super) fn num_own_parameters(gla: &GlaConfig, config: &TwinConfig) -> usize {
        let (rank, keys) = (gla.gate_low_rank_dim, config.num_kv_heads * config.key_dim);
        rank * config.hidden_size + keys * rank + keys
    }

    pub(super) fn new(
        gla: &GlaConfig,
        config: TwinConfig,
        source: Option<&FullAttention>,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (rank, keys) = (gla.gate_low_rank_dim, config.num_kv_heads * config.key_dim);
        let (down, up) = (format!("{name}.gk_proj.0"), format!("{name}.gk_proj.1"));
        Ok(Self {
            projections: Projections::new(&config, source.map(|s| &s.projections), make, name)?,
            gate_down: Linear::new(
                make,
                &down,
                [rank, config.hidden_size],
                Initializer::fan_in(config.hidden_size),
            )?,
            gate_up: Linear::new(make, &up, [keys, rank], Initializer::fan_in(rank))?.with_bias(
                make,
                &up,
                Initializer::Constant(0.0),
            )?,
            readout: Readout::new(&config, source, make, name)?,
            gate_logit_normalizer: gla.gate_logit_normalizer,
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
        let [q, k, v] = project.forward(x_btd.clone());
        let (queries, keys) = (project.query_heads(q), project.key_heads(pass.blank(k)));
        let values = project.value_heads(pass.blank(v));
        let decay = self.gate_up.forward(self.gate_down.forward(x_btd.clone()));
        let decay = dtr_ops::decay_gate(decay, self.gate_logit_normalizer);
        let decay = split_heads(pass.blank(decay), self.config.num_kv_heads);
        let queries = maybe_rotate(queries, &self.config, pass);
        let keys = maybe_rotate(keys, &self.config, pass);
        let (past, _) = MixerState::recurrent(past);
        let (output, state) = dtr_ops::gla(queries, keys, values, decay, past);
        (output, MixerState::Recurrent { state, convs: Vec::new() })
    }

    /// Sets gates and scale from what the base's attention does: every key channel forgets as
    /// [`Observed::decay`] says for the heads that share it, whatever the hidden state.
    pub(super) fn calibrate(&mut self, attention: &Observed) {
        let (shared, width) = (self.config.shared(), self.config.key_dim);
        let bias: Vec<f32> = attention
            .decay()
            .chunks(shared)
            .map(|heads| heads.iter().sum::<f64>() / shared as f64)
            .map(|decay| -inverse_softplus(decay * self.gate_logit_normalizer) as f32)
            .flat_map(|bias| std::iter::repeat_n(bias, width))
            .collect();
        let device = attention.x_btd.device();
        self.gate_up.weight = self.gate_up.weight.zeros_like();
        self.gate_up.bias = Some(Tensor::from_data(bias.as_slice(), &device));
        self.readout.open_gate(attention);
        let (output, _) = self.heads(&attention.x_btd, &attention.pass, None);
        self.readout.fit_scale(output, attention);
    }
}

impl Parameters for GlaBlock {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        self.gate_down.visit("gk_proj.0", visitor);
        self.gate_up.visit("gk_proj.1", visitor);
        self.readout.visit(visitor);
    }
}
