//! The output stage of a linear-attention block: RMSNorm per head, SiLU gate, and output projection. Such a
//! block is the twin of the attention that it replaces.

use burn::tensor::Tensor;

use super::linear_projection::Linear;
use super::{AttentionStats, FullAttention, TwinGeometry};
use crate::{Initializer, ParamMut, ParamSource};
use dtr_core::error::Result;
use dtr_ops::gated_rms_norm;

/// The gate's input at which the gate is 1: `SiLU(1.278) = 1`.
const OPEN_GATE_INPUT: f32 = 1.278_465;

/// The output stage of a twin.
#[derive(Clone)]
pub struct GatedOutput {
    /// The gate's projection, `[h·v, d]`. `None` without an output gate.
    g_proj: Option<Linear>,
    /// The weight of the norm, shared by the heads, `[v]`.
    o_norm: Tensor<1>,
    /// The output projection, `[d, h·v]`.
    o_proj: Linear,
    norm_epsilon: f64,
    num_heads: usize,
}

impl GatedOutput {
    /// Creates the output stage of a twin. The output projection is copied from `original`, or random if
    /// `original` is `None`.
    pub(super) fn new(
        geometry: &TwinGeometry,
        original: Option<&FullAttention>,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (width, read) = (geometry.hidden_size, geometry.num_heads * geometry.value_dim);
        let g_proj = geometry
            .output_gate
            .then(|| {
                let initializer = Initializer::fan_in(width);
                Linear::new(params, &format!("{name}.g_proj"), [read, width], initializer)
            })
            .transpose()?;
        let ones = Initializer::Constant(1.0);
        let o_norm = params.vector(&format!("{name}.o_norm.weight"), geometry.value_dim, ones)?;
        let original = original.map(|original| &original.o_proj);
        let o_proj =
            Linear::copy_or_random(original, false, params, &format!("{name}.o_proj"), [width, read])?;
        let (norm_epsilon, num_heads) = (geometry.norm_epsilon, geometry.num_heads);
        Ok(Self { g_proj, o_norm, o_proj, norm_epsilon, num_heads })
    }

    /// Returns the twin's output, `[b, t, d]`, from the output of its heads, `o_bhtv`. The gate is computed
    /// from the twin's input, `x_btd`.
    pub(super) fn forward(&self, o_bhtv: Tensor<4>, x_btd: Tensor<3>) -> Tensor<3> {
        self.o_proj.forward(self.gated_heads(o_bhtv, x_btd))
    }

    /// Returns the normalised and gated output of the heads, before the output projection, `[b, t, h·v]`.
    fn gated_heads(&self, o_bhtv: Tensor<4>, x_btd: Tensor<3>) -> Tensor<3> {
        let gate = self.g_proj.as_ref().map(|gate| gate.forward(x_btd));
        gated_rms_norm(o_bhtv, gate, &self.o_norm, self.norm_epsilon)
    }

    /// Sets the projection of the gate so that the gate is about 1 for most hidden states.
    pub(super) fn open_gate(&mut self, stats: &AttentionStats) {
        if let Some(gate) = &mut self.g_proj {
            gate.weight = stats.approximately_constant_weight(&vec![OPEN_GATE_INPUT; gate.weight.dims()[0]]);
        }
    }

    /// Multiplies each head's columns of the output projection by a factor. The factor fits the output of the
    /// twin's head to the output of the base's head by least squares.
    pub(super) fn fit_head_scales(&mut self, o_bhtv: Tensor<4>, stats: &AttentionStats) {
        let heads = self.gated_heads(o_bhtv, stats.x_btd.clone());
        let scale = stats.least_squares_scale(heads, self.num_heads);
        let [out, columns] = self.o_proj.weight.dims();
        let weight = self.o_proj.weight.clone().reshape([out, self.num_heads, columns / self.num_heads]);
        self.o_proj.weight = (weight * scale.reshape([1, self.num_heads, 1])).reshape([out, columns]);
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        if let Some(gate) = &mut self.g_proj {
            gate.visit("g_proj", visitor);
        }
        visitor("o_norm.weight", ParamMut::Vector(&mut self.o_norm));
        self.o_proj.visit("o_proj", visitor);
    }
}
