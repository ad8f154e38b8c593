//! The head counts and widths of a twin, the linear block that replaces a layer's attention.

use super::GeometryConfig;
use crate::DecoderConfig;
use dtr_core::error::{Error, Result};

/// The geometry of a twin: a [`GeometryConfig`] in which absent sizes are filled in from the base.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinGeometry {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of query heads.
    pub num_heads: usize,
    /// Number of key/value heads. `num_heads / num_kv_heads` query heads share each key/value head.
    pub num_kv_heads: usize,
    /// Key width of a head.
    pub key_dim: usize,
    /// Value width of a head.
    pub value_dim: usize,
    /// Whether queries and keys are rotated by position.
    pub rope: bool,
    /// Whether the output is gated.
    pub output_gate: bool,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether q and k are normalised per head.
    pub qk_norm: bool,
    /// Epsilon of the RMSNorms, the same as in the base.
    pub norm_epsilon: f64,
}

impl TwinGeometry {
    /// Returns whether a decoding step of a twin can be recorded as a CUDA graph.
    pub(super) fn is_recordable(&self) -> bool {
        dtr_ops::is_linear_attention_recordable(self.key_dim, self.value_dim)
    }

    /// Fills in the absent values of `geometry` from `base`. A portable twin has neither biases nor norms of
    /// queries and keys, because no portable format has them in linear layers.
    pub fn new(geometry: &GeometryConfig, base: &DecoderConfig) -> Self {
        let inherit = |of_base: bool| of_base && geometry.portable.is_none();
        Self {
            hidden_size: base.hidden_size,
            num_heads: geometry.num_heads.unwrap_or(base.num_heads),
            num_kv_heads: geometry.num_kv_heads.unwrap_or(base.num_kv_heads),
            key_dim: geometry.key_dim.unwrap_or(base.head_dim),
            value_dim: geometry.value_dim.unwrap_or(base.head_dim),
            rope: geometry.rope,
            output_gate: geometry.output_gate,
            qkv_bias: geometry.qkv_bias.unwrap_or(inherit(base.qkv_bias)),
            qk_norm: geometry.qk_norm.unwrap_or(inherit(base.qk_norm)),
            norm_epsilon: base.norm_epsilon,
        }
    }

    /// Returns the number of query heads that share a key/value head.
    pub fn heads_per_kv_head(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    /// Returns the widths of the projections of queries, keys and values.
    pub fn qkv_widths(&self) -> [usize; 3] {
        [self.num_heads * self.key_dim, self.num_kv_heads * self.key_dim, self.num_kv_heads * self.value_dim]
    }

    /// Returns the number of parameters of q, k, v, o, gate and norms, which every kind of twin has.
    pub(super) fn num_shared_parameters(&self) -> usize {
        let projected: usize = self.qkv_widths().iter().sum();
        let read = self.num_heads * self.value_dim;
        let num_output_projections = if self.output_gate { 2 } else { 1 };
        self.hidden_size * (projected + num_output_projections * read)
            + self.value_dim
            + if self.qkv_bias { projected } else { 0 }
            + if self.qk_norm { 2 * self.key_dim } else { 0 }
    }

    /// Checks that the query heads divide evenly among the key/value heads, and that a twin with rotary
    /// positions has the base's head width.
    ///
    /// # Errors
    /// Fails when one of these conditions does not hold.
    pub fn check(&self, base: &DecoderConfig) -> Result<()> {
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(Error::manifest(format!(
                "{} query heads of a twin cannot share {} key/value heads evenly",
                self.num_heads, self.num_kv_heads
            )));
        }
        if self.rope && self.key_dim != base.head_dim {
            return Err(Error::manifest(format!(
                "a twin with `rope` needs the base's head width {}, not {}",
                base.head_dim, self.key_dim
            )));
        }
        Ok(())
    }

    /// Checks that a twin of this geometry can copy the base's projections.
    ///
    /// # Errors
    /// Fails when a head count or a width differs from the base's.
    pub fn require_base_geometry(&self, base: &DecoderConfig) -> Result<()> {
        let twin = [self.num_heads, self.num_kv_heads, self.key_dim, self.value_dim];
        let required = [base.num_heads, base.num_kv_heads, base.head_dim, base.head_dim];
        if twin == required {
            return Ok(());
        }
        Err(Error::manifest(format!(
            "cannot copy the base's projections: heads, key/value heads, key width and value width are \
             {twin:?} in the twin and {required:?} in the base"
        ))
        .hint("set `init = \"random\"`, or remove the twin's geometry"))
    }
}
