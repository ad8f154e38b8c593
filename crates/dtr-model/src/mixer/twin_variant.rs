//! Variants of twins, the linear blocks that replace a base's attention. A variant has a kind of block, a
//! geometry, and initial values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::error::{Error, Result};
use dtr_core::schema_ranges::find_out_of_range;

use super::{GdnConfig, GlaConfig, JetConfig};

/// The specification of a twin: the kind of linear block that replaces attention, its geometry, and its
/// initial values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TwinVariant {
    /// The kind of block and its settings.
    pub block: BlockConfig,
    /// Head counts, head widths and options.
    #[serde(default)]
    pub geometry: GeometryConfig,
    /// The initial values of a twin's parameters.
    #[serde(default)]
    pub init: TwinInit,
}

/// Head counts, head widths and options of a twin. If a size is absent, the twin has the size of its base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GeometryConfig {
    /// Number of query heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub num_heads: Option<usize>,
    /// Number of key/value heads. Query heads share them as in grouped-query attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub num_kv_heads: Option<usize>,
    /// Key width of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub key_dim: Option<usize>,
    /// Value width of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub value_dim: Option<usize>,
    /// Whether rotary positions are applied to queries and keys.
    pub rope: bool,
    /// Whether the output is multiplied by a SiLU gate of the input.
    pub output_gate: bool,
    /// Whether queries, keys and values have biases. If absent, they have biases if those of the base do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qkv_bias: Option<bool>,
    /// Whether queries and keys are normalised per head. If absent, they are if those of the base are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qk_norm: Option<bool>,
    /// A format of other software. The twin then has neither biases nor norms of queries and keys, and the
    /// plan refuses bases and settings that the format cannot express.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PortableFormat")]
    pub portable: Option<PortableFormat>,
}

/// A format of other software that can express some hybrids without own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PortableFormat {
    /// Qwen3.5 of transformers, vLLM and llama.cpp: a Qwen3 base with Gated DeltaNet.
    #[serde(rename = "qwen3_5")]
    Qwen35,
    /// Jet-Nemotron of SGLang: a Qwen2 or Llama base with JetBlock.
    #[serde(rename = "jet-nemotron")]
    JetNemotron,
    /// flash-linear-attention: a Qwen2 or Llama base with GLA or Gated DeltaNet.
    #[serde(rename = "fla")]
    Fla,
}

impl PortableFormat {
    /// Returns the name of the format in manifests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen35 => "qwen3_5",
            Self::JetNemotron => "jet-nemotron",
            Self::Fla => "fla",
        }
    }
}

impl Default for GeometryConfig {
    fn default() -> Self {
        Self {
            num_heads: None,
            num_kv_heads: None,
            key_dim: None,
            value_dim: None,
            rope: false,
            output_gate: true,
            qkv_bias: None,
            qk_norm: None,
            portable: None,
        }
    }
}

/// A kind of linear block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BlockConfig {
    /// Gated linear attention (arXiv 2312.06635).
    Gla(GlaConfig),
    /// Gated DeltaNet (arXiv 2412.06464).
    Gdn(GdnConfig),
    /// JetBlock of Jet-Nemotron (arXiv 2508.15884).
    Jet(JetConfig),
}

impl BlockConfig {
    /// Returns the name of this kind of block in manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gla(_) => "gla",
            Self::Gdn(_) => "gdn",
            Self::Jet(_) => "jet",
        }
    }
}

/// The initial values of a twin's parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TwinInit {
    /// Copies the projections of queries, keys, values and output from the base's layer.
    Copy,
    /// Copies the projections as `copy` does. Sets the gates, and the scale of each head, from measurements
    /// of the base's attention on the first batch. The state of a head decays by half over the mean distance
    /// between a query and the keys that it attends to. A head whose attention has a lower entropy gets a
    /// higher write strength. The output gate starts open. The output of each head is scaled to fit the
    /// output of the base's head by least squares.
    #[default]
    Calibrated,
    /// Draws every parameter at random.
    Random,
}

impl TwinVariant {
    /// Checks the sizes of a variant that was read from the directory of a hybrid.
    ///
    /// # Errors
    /// Fails when a size is out of range, or two sizes do not fit together.
    pub fn check(&self) -> Result<()> {
        if let Some(found) = find_out_of_range(self) {
            let key = found.path.join(".");
            return Err(Error::manifest(format!("`variant.{key}` must be {}", found.requirement)));
        }
        if self.geometry.has_odd_rotary_width() {
            return Err(Error::manifest("`variant.geometry.key-dim` must be even with rotary positions"));
        }
        match (self.geometry.num_heads, self.geometry.num_kv_heads) {
            (Some(num_heads), Some(num_kv_heads)) => check_head_counts(num_heads, num_kv_heads),
            _ => Ok(()),
        }
    }
}

impl GeometryConfig {
    /// Returns whether rotary positions would be applied to an odd key width. The width must be even, because
    /// rotary positions rotate pairs of channels.
    pub fn has_odd_rotary_width(&self) -> bool {
        self.rope && self.key_dim.is_some_and(|key_dim| key_dim % 2 == 1)
    }
}

/// Checks that the query heads can be divided evenly among the key/value heads.
///
/// # Errors
/// Fails when `num_heads` is not a multiple of `num_kv_heads`.
pub fn check_head_counts(num_heads: usize, num_kv_heads: usize) -> Result<()> {
    if num_heads.is_multiple_of(num_kv_heads) {
        return Ok(());
    }
    let message = format!("{num_heads} query heads cannot share {num_kv_heads} key/value heads evenly");
    Err(Error::manifest(message).hint("make `num-heads` a multiple of `num-kv-heads`"))
}
