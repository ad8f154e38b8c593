//! `[variants.NAME]`: linear-attention blocks that can take a layer's place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A linear variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variant {
    /// The kind of block and its own settings.
    pub block: Block,
    /// Heads, widths and what stands around the recurrence.
    #[serde(default)]
    pub geometry: Geometry,
    /// How a twin's parameters start.
    #[serde(default)]
    pub init: Init,
}

/// Heads, widths and what stands around the recurrence; an absent size is the base's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Geometry {
    /// Query heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_heads: Option<usize>,
    /// Key/value heads, repeated as activations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_kv_heads: Option<usize>,
    /// Key width of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_dim: Option<usize>,
    /// Value width of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_dim: Option<usize>,
    /// Whether rotary positions are applied to queries and keys.
    pub rope: bool,
    /// Whether the output is gated by swish of a projection of the input.
    pub output_gate: bool,
}

impl Default for Geometry {
    fn default() -> Self {
        Self {
            num_heads: None,
            num_kv_heads: None,
            key_dim: None,
            value_dim: None,
            rope: false,
            output_gate: true,
        }
    }
}

/// The kind of linear block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Block {
    /// Gated linear attention (arXiv 2312.06635).
    Gla(Gla),
    /// Gated DeltaNet (arXiv 2412.06464).
    Gdn(Gdn),
    /// JetBlock of Jet-Nemotron (arXiv 2508.15884).
    Jet(Jet),
}

impl Block {
    /// The kind as manifests name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gla(_) => "gla",
            Self::Gdn(_) => "gdn",
            Self::Jet(_) => "jet",
        }
    }
}

/// How a twin's parameters start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Query, key, value and output projections copied from the base's layer.
    Copy,
    /// Copied, and gates and scale set from what the base's layer does on the first batch: a head forgets half
    /// over the mean distance that it attends over, writes the more strongly the sharper it attends, starts with
    /// its output gate open, and is scaled to the base's head by least squares.
    #[default]
    Calibrated,
    /// Every parameter drawn afresh.
    Random,
}

/// Gated linear attention: a decay per key channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gla {
    /// Rank of the decay gate's projection.
    pub gate_low_rank_dim: usize,
    /// Divisor of the log decay.
    pub gate_logit_normalizer: f64,
}

impl Default for Gla {
    fn default() -> Self {
        Self { gate_low_rank_dim: 16, gate_logit_normalizer: 16.0 }
    }
}

/// Gated DeltaNet: the delta rule with a decay per head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gdn {
    /// Width of the causal depthwise convolutions on q, k and v; 0 leaves them out.
    pub conv_size: usize,
    /// Whether the write strength may reach 2, which allows negative eigenvalues.
    pub allow_neg_eigval: bool,
}

impl Default for Gdn {
    fn default() -> Self {
        Self { conv_size: 4, allow_neg_eigval: false }
    }
}

/// JetBlock: Gated DeltaNet with a dynamic convolution on v and none on q and k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Jet {
    /// Width of the dynamic convolution on v.
    pub conv_size: usize,
    /// The value width divided by this is the kernel generator's inner width.
    pub generator_reduction: usize,
}

impl Default for Jet {
    fn default() -> Self {
        Self { conv_size: 4, generator_reduction: 8 }
    }
}
