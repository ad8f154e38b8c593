//! The projections of queries, keys and values.

use burn::tensor::Tensor;

use super::linear_projection::{Linear, copied_values};
use super::{ForwardContext, TwinGeometry};
use crate::{Initializer, ParamMut, ParamSource};
use dtr_core::error::Result;
use dtr_ops::{Rope, rms_norm, split_heads};

/// The projections of queries, keys and values. A Qwen3 base also has norms of queries and keys.
#[derive(Clone)]
pub struct Projections {
    /// The query projection, `[h·k, d]`.
    pub(super) q_proj: Linear,
    /// The key projection, `[g·k, d]`.
    k_proj: Linear,
    /// The value projection, `[g·v, d]`.
    v_proj: Linear,
    /// Weight of the RMSNorm of each query head, `[k]`. Only Qwen3 has it.
    q_norm: Option<Tensor<1>>,
    /// Weight of the RMSNorm of each key head, `[k]`. Only Qwen3 has it.
    k_norm: Option<Tensor<1>>,
    norm_epsilon: f64,
    num_heads: usize,
    num_kv_heads: usize,
}

impl Projections {
    /// Creates projections whose initial values are copied from `original`, or drawn at random if `original`
    /// is `None`.
    pub(super) fn new(
        geometry: &TwinGeometry,
        original: Option<&Self>,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (width, has_bias) = (geometry.hidden_size, geometry.qkv_bias);
        let [queries, keys, values] = geometry.qkv_widths();
        let project = |part: &str, original: Option<&Linear>, out: usize, params: &mut dyn ParamSource| {
            Linear::copy_or_random(original, has_bias, params, &format!("{name}.{part}"), [out, width])
        };
        let q_proj = project("q_proj", original.map(|o| &o.q_proj), queries, params)?;
        let k_proj = project("k_proj", original.map(|o| &o.k_proj), keys, params)?;
        let v_proj = project("v_proj", original.map(|o| &o.v_proj), values, params)?;
        let norm = |part: &str, original: Option<&Tensor<1>>, params: &mut dyn ParamSource| {
            let initializer = original.map_or(Initializer::Constant(1.0), copied_values);
            geometry
                .qk_norm
                .then(|| params.vector(&format!("{name}.{part}.weight"), geometry.key_dim, initializer))
                .transpose()
        };
        let q_norm = norm("q_norm", original.and_then(|o| o.q_norm.as_ref()), params)?;
        let k_norm = norm("k_norm", original.and_then(|o| o.k_norm.as_ref()), params)?;
        Ok(Self {
            q_proj,
            k_proj,
            v_proj,
            q_norm,
            k_norm,
            norm_epsilon: geometry.norm_epsilon,
            num_heads: geometry.num_heads,
            num_kv_heads: geometry.num_kv_heads,
        })
    }

    /// Returns the width of a query head.
    pub(super) fn head_width(&self) -> usize {
        self.q_proj.weight.dims()[0] / self.num_heads
    }

    /// Projects `x_btd` to queries `[b, t, h·k]`, keys `[b, t, g·k]` and values `[b, t, g·v]`.
    pub(super) fn forward(&self, x_btd: Tensor<3>) -> [Tensor<3>; 3] {
        let projections = [&self.q_proj, &self.k_proj, &self.v_proj];
        if self.q_proj.num_layers() > 1 {
            return projections.map(|part| part.forward(x_btd.clone()));
        }
        dtr_ops::linear_triple(x_btd, projections.map(|part| (&part.weight, part.bias.as_ref())))
    }

    /// Splits queries into heads, `[b, h, t, k]`, and normalises each head if the base is a Qwen3 model.
    pub(super) fn query_heads(&self, q_btd: Tensor<3>) -> Tensor<4> {
        self.normalise(split_heads(q_btd, self.num_heads), self.q_norm.as_ref())
    }

    /// Splits keys into heads, `[b, g, t, k]`, and normalises each head if the base is a Qwen3 model.
    pub(super) fn key_heads(&self, k_btd: Tensor<3>) -> Tensor<4> {
        self.normalise(split_heads(k_btd, self.num_kv_heads), self.k_norm.as_ref())
    }

    /// Splits values into heads, `[b, g, t, v]`.
    pub(super) fn value_heads(&self, v_btd: Tensor<3>) -> Tensor<4> {
        split_heads(v_btd, self.num_kv_heads)
    }

    fn normalise(&self, x_bhtk: Tensor<4>, weight: Option<&Tensor<1>>) -> Tensor<4> {
        match weight {
            Some(weight) => rms_norm(x_bhtk, weight, self.norm_epsilon),
            None => x_bhtk,
        }
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.q_proj.visit("q_proj", visitor);
        self.k_proj.visit("k_proj", visitor);
        self.v_proj.visit("v_proj", visitor);
        if let Some(norm) = &mut self.q_norm {
            visitor("q_norm.weight", ParamMut::Vector(norm));
        }
        if let Some(norm) = &mut self.k_norm {
            visitor("k_norm.weight", ParamMut::Vector(norm));
        }
    }
}

/// Rotates queries or keys by position if `geometry.rope` is true.
pub(super) fn rotate_if_rope(
    x_bhtk: Tensor<4>,
    geometry: &TwinGeometry,
    context: &ForwardContext,
) -> Tensor<4> {
    if geometry.rope { Rope::apply(x_bhtk, &context.rope_angles) } else { x_bhtk }
}
