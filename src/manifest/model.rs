//! `[models.NAME]`: base models with full attention.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// Where its weights come from.
    pub source: ModelSource,
}

/// Where a base model's weights come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSource {
    /// A Hugging Face directory (path relative to the manifest): `config.json`,
    /// `model.safetensors` or shards with an index, `tokenizer.json`.
    Path(#[schemars(extend("format" = "path"))] String),
    /// Trained here, on `[corpus]`, as `[pretrain]` says, with this architecture.
    Pretrain(Architecture),
}

/// The shape of a Llama-style decoder to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Architecture {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the SwiGLU's inner layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key/value heads.
    pub num_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}
