//! The configuration of a decoder, and the reader of the `config.json` of Llama, Qwen2 and Qwen3 models.
//!
//! [`keys`] holds the table of the keys of `config.json`.

mod fields;
mod keys;
mod rope;
pub(crate) mod sliding_window;
#[cfg(test)]
mod tests;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::fields::ConfigFields;
use self::rope::read_rope;
use self::sliding_window::checked_cache_limit;
use dtr_core::error::{Error, Result};
use dtr_ops::RopeScaling;

/// The `model_type` of a hybrid. The classes for this type are in the Python files of the hybrid's directory.
pub(crate) const HYBRID_MODEL_TYPE: &str = "dtr_hybrid";

/// The key of the table in a hybrid's `config.json` that describes its base and its twins.
pub(crate) const HYBRID_KEY: &str = "dtr";

/// The largest supported sizes of a decoder, in manifests and in `config.json`. With these limits, products
/// of sizes cannot overflow.
const MAX_VOCAB_SIZE: usize = 1 << 24;
const MAX_HIDDEN_SIZE: usize = 1 << 17;
const MAX_INTERMEDIATE_SIZE: usize = 1 << 20;
const MAX_LAYERS: usize = 1 << 10;
const MAX_HEADS: usize = 1 << 10;
const MAX_HEAD_DIM: usize = 1 << 12;
const MAX_POSITIONS: usize = 1 << 30;

/// The supported architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelType {
    /// Llama 2, 3, 3.1, 3.2.
    Llama,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Qwen3: norms on q and k.
    Qwen3,
}

impl ModelType {
    /// Returns the name of the architecture in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// The architecture, the sizes and the constants of a decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderConfig {
    /// The architecture, under its name in transformers.
    pub model_type: ModelType,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the SwiGLU's inner layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Number of query heads.
    pub num_heads: usize,
    /// Number of key/value heads.
    pub num_kv_heads: usize,
    /// Width of a head. It may differ from `hidden_size / num_heads`.
    pub head_dim: usize,
    /// Epsilon of the RMSNorms.
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// The scaling of the rotary frequencies for long contexts.
    pub rope_scaling: RopeScaling,
    /// Whether the output head shares the embedding's weight.
    pub tied_head: bool,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether q and k are normalised per head.
    pub qk_norm: bool,
    /// The longest sequence that the model supports, in tokens.
    pub max_positions: usize,
    /// The most tokens that the cache may hold during generation. `None` if the cache may hold
    /// `max_positions` tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_window: Option<usize>,
}

/// The shape of a Llama decoder that is trained from random weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DecoderShape {
    /// Width of the residual stream.
    #[schemars(range(min = 1, max = MAX_HIDDEN_SIZE))]
    pub hidden_size: usize,
    /// Width of the SwiGLU's inner layer.
    #[schemars(range(min = 1, max = MAX_INTERMEDIATE_SIZE))]
    pub intermediate_size: usize,
    /// Number of layers.
    #[schemars(range(min = 1, max = MAX_LAYERS))]
    pub num_layers: usize,
    /// Number of query heads.
    #[schemars(range(min = 1, max = MAX_HEADS))]
    pub num_heads: usize,
    /// Number of key/value heads.
    #[schemars(range(min = 1, max = MAX_HEADS))]
    pub num_kv_heads: usize,
    /// Width of a head.
    #[schemars(range(min = 2, max = MAX_HEAD_DIM), extend("multipleOf" = 2))]
    pub head_dim: usize,
    /// Path of the tokenizer, a `tokenizer.json`, relative to the manifest. The default is the tokenizer of
    /// the synthetic language.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub tokenizer: Option<String>,
}

impl DecoderShape {
    /// Returns the configuration of a Llama of this shape with a vocabulary of `vocab_size` tokens and
    /// sequences of at most `max_positions` tokens. The Llama's output head does not share the embedding's
    /// weight.
    pub fn llama_config(&self, vocab_size: usize, max_positions: usize) -> DecoderConfig {
        DecoderConfig {
            model_type: ModelType::Llama,
            vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_layers: self.num_layers,
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            head_dim: self.head_dim,
            norm_epsilon: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            tied_head: false,
            qkv_bias: false,
            qk_norm: false,
            max_positions,
            cache_window: None,
        }
    }
}

impl DecoderConfig {
    /// Parses the text of the `config.json` at `path`, as transformers 5.17 reads it.
    ///
    /// # Errors
    /// Fails when the text is not the configuration of a supported architecture, or a size is out of range.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(|cause| {
            Error::environment(format!("`{}` is not the configuration of a model", path.display()))
                .with_source(cause)
                .hint("name a Llama, Qwen2 or Qwen3 model")
        })?;
        Self::from_fields(&fields).map_err(|problem| {
            let error = Error::environment(format!("`{}` {problem}", path.display()));
            match hint(&fields) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    /// Reads the fields of `config.json`. The error continues a sentence that begins with the name of the
    /// file.
    fn from_fields(fields: &Map<String, Value>) -> std::result::Result<Self, String> {
        let fields = ConfigFields::new(fields)?;
        let (num_layers, max_positions) =
            (fields.size("num_hidden_layers")?, fields.size("max_position_embeddings")?);
        let (rope_theta, rope_scaling) = read_rope(&fields, max_positions)?;
        let config = Self {
            model_type: fields.model_type,
            vocab_size: fields.size("vocab_size")?,
            hidden_size: fields.size("hidden_size")?,
            intermediate_size: fields.size("intermediate_size")?,
            num_layers,
            num_heads: fields.size("num_attention_heads")?,
            num_kv_heads: fields.size("num_key_value_heads")?,
            head_dim: fields.size("head_dim")?,
            norm_epsilon: fields.number("rms_norm_eps")?,
            rope_theta,
            rope_scaling,
            tied_head: fields.flag("tie_word_embeddings")?,
            qkv_bias: fields.model_type == ModelType::Qwen2,
            qk_norm: fields.model_type == ModelType::Qwen3,
            max_positions,
            cache_window: checked_cache_limit(&fields, num_layers, max_positions)?,
        };
        match config.invalid_value() {
            None => Ok(config),
            Some(problem) => Err(problem),
        }
    }

    /// Returns the number of parameters of a decoder of this shape.
    pub fn num_parameters(&self) -> u64 {
        let (width, heads, groups) = (self.hidden_size, self.num_heads, self.num_kv_heads);
        let projected = (heads + 2 * groups) * self.head_dim;
        let attention = projected * width
            + heads * self.head_dim * width
            + if self.qkv_bias { projected } else { 0 }
            + if self.qk_norm { 2 * self.head_dim } else { 0 };
        let layer = attention + 3 * self.intermediate_size * width + 2 * width;
        let embeddings = if self.tied_head { 1 } else { 2 } * self.vocab_size * width;
        (embeddings + self.num_layers * layer + width) as u64
    }

    /// Returns the content of a `config.json` that [`DecoderConfig::parse`] and transformers can read.
    pub fn to_json(&self) -> Value {
        let architecture = match self.model_type {
            ModelType::Llama => "LlamaForCausalLM",
            ModelType::Qwen2 => "Qwen2ForCausalLM",
            ModelType::Qwen3 => "Qwen3ForCausalLM",
        };
        serde_json::json!({
            "architectures": [architecture],
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "rms_norm_eps": self.norm_epsilon,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied_head,
            "attention_bias": false,
            "mlp_bias": false,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_positions,
            "torch_dtype": "bfloat16",
        })
    }

    /// Checks that every size is in the range that [`DecoderConfig::parse`] accepts. A configuration that was
    /// deserialized has not been checked.
    ///
    /// # Errors
    /// Fails with the name of the first value that is out of range.
    pub fn ensure_valid(&self) -> Result<()> {
        match self.invalid_value() {
            None => Ok(()),
            Some(problem) => Err(Error::environment(format!("a configuration {problem}"))),
        }
    }

    /// Describes the first value that is out of range.
    fn invalid_value(&self) -> Option<String> {
        let sizes = [
            ("vocab_size", self.vocab_size, MAX_VOCAB_SIZE),
            ("hidden_size", self.hidden_size, MAX_HIDDEN_SIZE),
            ("intermediate_size", self.intermediate_size, MAX_INTERMEDIATE_SIZE),
            ("num_hidden_layers", self.num_layers, MAX_LAYERS),
            ("num_attention_heads", self.num_heads, MAX_HEADS),
            ("num_key_value_heads", self.num_kv_heads, MAX_HEADS),
            ("head_dim", self.head_dim, MAX_HEAD_DIM),
        ];
        if let Some((name, size, max)) = sizes.into_iter().find(|(_, size, max)| !(1..=*max).contains(size)) {
            return Some(format!("has {size} as `{name}`, which must be from 1 to {max}"));
        }
        if self.max_positions > MAX_POSITIONS {
            let positions = self.max_positions;
            return Some(format!(
                "has {positions} as `max_position_embeddings`, which must be at most {MAX_POSITIONS}"
            ));
        }
        if !(self.norm_epsilon.is_finite() && self.norm_epsilon >= 0.0) {
            return Some(format!("has {} as `rms_norm_eps`, which must not be below 0", self.norm_epsilon));
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            let (heads, kv_heads) = (self.num_heads, self.num_kv_heads);
            return Some(format!(
                "has {heads} query heads, which cannot share {kv_heads} key/value heads evenly"
            ));
        }
        let is_odd = !self.head_dim.is_multiple_of(2);
        is_odd.then(|| format!("has {} as `head_dim`, which must be even", self.head_dim))
    }
}

/// Returns a hint for the user about a configuration that is not supported.
fn hint(fields: &Map<String, Value>) -> Option<&'static str> {
    match fields.get("model_type").and_then(Value::as_str) {
        Some("llama" | "qwen2" | "qwen3" | HYBRID_MODEL_TYPE) => {}
        _ => return Some("name a Llama, Qwen2 or Qwen3 model"),
    }
    let is_quantized = fields.get("quantization_config").is_some_and(Value::is_object);
    is_quantized.then_some(
        "name a model that is not quantised, or remove `quantization_config` if its weights are unquantised",
    )
}
