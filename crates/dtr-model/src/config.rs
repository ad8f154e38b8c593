//! A decoder's shape, as `config.json` of Llama, Qwen2 and Qwen3 says it.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_ops::RopeScaling;

/// The architectures that are served.
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

/// A decoder's shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The architecture's name in Hugging Face.
    pub model_type: ModelType,
    /// Entries of the embedding.
    pub vocab_size: usize,
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
    /// Width of a head; need not be `hidden_size / num_heads`.
    pub head_dim: usize,
    /// Epsilon of the RMSNorms.
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How rotary frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// Whether the output head is the embedding.
    pub tied_head: bool,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether q and k are normalised per head.
    pub qk_norm: bool,
    /// Positions the model was trained on.
    pub max_positions: usize,
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
    /// Its tokenizer, a `tokenizer.json` (path relative to the manifest); without one, that of the closed language.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub tokenizer: Option<String>,
}

/// The fields of `config.json` that shape the computation; others are left alone.
#[derive(Deserialize)]
struct Raw {
    model_type: ModelType,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    #[serde(default)]
    tie_word_embeddings: bool,
    attention_bias: Option<bool>,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    use_sliding_window: bool,
    hidden_act: Option<String>,
    max_position_embeddings: usize,
}

impl Config {
    /// Reads the text of the `config.json` at `path`; what this crate cannot compute faithfully is refused.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let raw: Raw = serde_json::from_str(text).map_err(|cause| {
            Error::environment(format!("`{}` is not a served architecture", path.display()))
                .with_source(cause)
        })?;
        let refuse = |what: String| Error::environment(format!("`{}` {what}", path.display()));
        raw.unserved().map_or(Ok(()), |what| Err(refuse(format!("asks for {what}, which is not served"))))?;
        let rope = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
        let theta = rope.and_then(|value| value["rope_theta"].as_f64()).or(raw.rope_theta);
        let config = Self {
            model_type: raw.model_type,
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_layers: raw.num_hidden_layers,
            num_heads: raw.num_attention_heads,
            num_kv_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
            head_dim: raw.head_dim.unwrap_or(raw.hidden_size / raw.num_attention_heads.max(1)),
            norm_epsilon: raw.rms_norm_eps,
            rope_theta: theta.unwrap_or(10_000.0),
            rope_scaling: rope.map_or(Ok(RopeScaling::None), scaling).map_err(refuse)?,
            tied_head: raw.tie_word_embeddings,
            qkv_bias: raw.model_type == ModelType::Qwen2,
            qk_norm: raw.model_type == ModelType::Qwen3,
            max_positions: raw.max_position_embeddings,
        };
        match config.flaw() {
            None => Ok(config),
            Some(flaw) => Err(refuse(flaw)),
        }
    }

    /// A Llama of `architecture` over `vocab_size` tokens, with a head of its own.
    pub fn llama(architecture: &Architecture, vocab_size: usize, max_positions: usize) -> Self {
        Self {
            model_type: ModelType::Llama,
            vocab_size,
            hidden_size: architecture.hidden_size,
            intermediate_size: architecture.intermediate_size,
            num_layers: architecture.num_layers,
            num_heads: architecture.num_heads,
            num_kv_heads: architecture.num_kv_heads,
            head_dim: architecture.head_dim,
            norm_epsilon: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            tied_head: false,
            qkv_bias: false,
            qk_norm: false,
            max_positions,
        }
    }

    /// The number of parameters of a decoder of this shape.
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

    /// The `config.json` that [`Config::parse`] and transformers read back.
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

    /// What is wrong with the numbers; the bounds are those of manifests, and keep products from overflowing.
    fn flaw(&self) -> Option<String> {
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 17),
            ("intermediate_size", self.intermediate_size, 1 << 20),
            ("num_hidden_layers", self.num_layers, 1 << 10),
            ("num_attention_heads", self.num_heads, 1 << 10),
            ("num_key_value_heads", self.num_kv_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 12),
        ];
        if let Some((name, size, most)) =
            sizes.into_iter().find(|(_, size, most)| !(1..=*most).contains(size))
        {
            return Some(format!("has {size} as `{name}`, which must be from 1 to {most}"));
        }
        if self.max_positions > MOST_POSITIONS {
            let positions = self.max_positions;
            return Some(format!(
                "has {positions} as `max_position_embeddings`, which must be at most {MOST_POSITIONS}"
            ));
        }
        for (name, number) in [("rms_norm_eps", self.norm_epsilon), ("rope_theta", self.rope_theta)] {
            if !(number.is_finite() && number > 0.0) {
                return Some(format!("has {number} as `{name}`, which must be above 0"));
            }
        }
        let is_even = self.num_heads.is_multiple_of(self.num_kv_heads) && self.head_dim.is_multiple_of(2);
        (!is_even).then(|| {
            format!(
                "has {} heads over {} key/value heads of width {}: heads must divide evenly and the width be even",
                self.num_heads, self.num_kv_heads, self.head_dim
            )
        })
    }
}

/// More positions than any model has seen.
const MOST_POSITIONS: usize = 1 << 30;

impl Raw {
    /// What it asks for and is not served.
    fn unserved(&self) -> Option<String> {
        if self.use_sliding_window {
            return Some("sliding-window attention".to_owned());
        }
        if self.mlp_bias {
            return Some("biases in the MLP".to_owned());
        }
        if self.attention_bias == Some(true) {
            return Some("`attention_bias`".to_owned());
        }
        let other = self.hidden_act.as_deref().filter(|activation| *activation != "silu")?;
        Some(format!("the activation `{other}`"))
    }
}

/// Reads `rope_scaling` (or `rope_parameters`) of `config.json`; what is wrong with it where it cannot be served.
fn scaling(value: &Value) -> std::result::Result<RopeScaling, String> {
    if value.is_null() {
        return Ok(RopeScaling::None);
    }
    if !value.is_object() {
        return Err(format!("has {value} as rope scaling, which must be a table"));
    }
    let number = |key: &str| match value[key].as_f64() {
        Some(number) if number > 0.0 && number <= MOST_POSITIONS as f64 => Ok(number),
        Some(number) => Err(format!("has {number} as `{key}` of its rope scaling, which must be above 0")),
        None => Err(format!("lacks the number `{key}` in its rope scaling")),
    };
    let scaling = match value["rope_type"].as_str().or(value["type"].as_str()) {
        None | Some("default") => return Ok(RopeScaling::None),
        Some("llama3") => RopeScaling::Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_position: number("original_max_position_embeddings")? as usize,
        },
        Some(other) => {
            return Err(format!(
                "asks for the rope scaling `{other}`; served are none, `default` and `llama3`"
            ));
        }
    };
    match number("low_freq_factor")? < number("high_freq_factor")? {
        true => Ok(scaling),
        false => Err("has a `low_freq_factor` that is not below `high_freq_factor`".to_owned()),
    }
}
