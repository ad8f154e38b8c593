//! Variants: the kind of linear block that replaces attention, its geometry, and its initialisation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::error::{Error, Result};

use super::{GdnConfig, GlaConfig, JetConfig};

/// A kind of linear block that replaces attention, with its geometry and its initialisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variant {
    /// The kind of block and its settings.
    pub block: BlockConfig,
    /// Heads, widths, rotary positions and output gate.
    #[serde(default)]
    pub geometry: GeometryConfig,
    /// The initial values of a twin's parameters.
    #[serde(default)]
    pub init: TwinInit,
}

/// Heads, widths, rotary positions and output gate of a twin. An absent size is the base's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GeometryConfig {
    /// Query heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_heads: Option<usize>,
    /// Key/value heads. Query heads share them as in grouped-query attention.
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
    /// Whether the output is multiplied by a SiLU gate of the input.
    pub output_gate: bool,
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
    /// Returns the name of the kind in manifests.
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
    /// Copies the projections, and sets gates and scale from measurements of the base's attention on the
    /// first batch. A head's memory halves over the mean distance of its attention, its write strength rises
    /// as the entropy of its attention falls, its output gate starts open, and its output is scaled to the
    /// base's head by least squares.
    #[default]
    Calibrated,
    /// Draws every parameter at random.
    Random,
}

impl Variant {
    /// Checks the sizes of a variant that was read from the directory of a hybrid.
    ///
    /// # Errors
    /// Names the first size that is out of range, or two that do not divide.
    pub fn check(&self) -> Result<()> {
        let geometry = &self.geometry;
        let at_least_1 = |size: Option<usize>| size.unwrap_or(1);
        let mut sizes = vec![
            ("geometry.num-heads", at_least_1(geometry.num_heads), 1 << 12),
            ("geometry.num-kv-heads", at_least_1(geometry.num_kv_heads), 1 << 12),
            ("geometry.key-dim", at_least_1(geometry.key_dim), 1 << 12),
            ("geometry.value-dim", at_least_1(geometry.value_dim), 1 << 12),
        ];
        match &self.block {
            BlockConfig::Gla(gla) => {
                sizes.push(("block.gla.gate-low-rank-dim", gla.gate_low_rank_dim, 1 << 16));
                let normalizer = gla.gate_logit_normalizer;
                if !(normalizer > 0.0 && normalizer <= 1e6) {
                    let message =
                        "`variant.block.gla.gate-logit-normalizer` must be above 0 and at most 1000000";
                    return Err(Error::manifest(message));
                }
            }
            BlockConfig::Gdn(gdn) => sizes.push(("block.gdn.conv-size", gdn.conv_size.max(1), 1 << 10)),
            BlockConfig::Jet(jet) => {
                sizes.push(("block.jet.conv-size", jet.conv_size, 1 << 10));
                sizes.push(("block.jet.generator-reduction", jet.generator_reduction, 1 << 16));
            }
        }
        for (key, size, max) in sizes {
            if !(1..=max).contains(&size) {
                return Err(Error::manifest(format!("`variant.{key}` must be at least 1 and at most {max}")));
            }
        }
        if geometry.rope && geometry.key_dim.is_some_and(|key_dim| key_dim % 2 == 1) {
            return Err(Error::manifest("`variant.geometry.key-dim` must be even with rotary positions"));
        }
        match (geometry.num_heads, geometry.num_kv_heads) {
            (Some(heads), Some(kv_heads)) if !heads.is_multiple_of(kv_heads) => Err(Error::manifest(
                format!("{heads} query heads cannot share {kv_heads} key/value heads evenly"),
            )),
            _ => Ok(()),
        }
    }
}
