//! Lists the supported architectures, and makes a `config.json` from the metadata of a GGUF file.
//!
//! To add an architecture that dtr can already read from a `config.json`, add the architecture to
//! [`ARCHITECTURES`] and its tensors to [`tensor_names`](super::tensor_names).

use serde_json::{Value, json};

use super::byte_reader::ParseResult;
use super::metadata::GgufMetadata;

/// A supported architecture.
#[derive(Debug)]
pub struct Architecture {
    /// The name in GGUF files, which is also the `model_type` of `config.json`.
    pub name: &'static str,
    /// The name of the class in transformers.
    class: &'static str,
    /// Whether the rotary embedding of llama.cpp rotates pairs of adjacent channels. transformers always
    /// rotates the channels `i` and `i + k/2`. If the pairs differ, the rows of q and k are stored in another
    /// order than in transformers.
    pub has_interleaved_rope: bool,
}

static ARCHITECTURES: [Architecture; 3] = [
    Architecture { name: "llama", class: "LlamaForCausalLM", has_interleaved_rope: true },
    Architecture { name: "qwen2", class: "Qwen2ForCausalLM", has_interleaved_rope: false },
    Architecture { name: "qwen3", class: "Qwen3ForCausalLM", has_interleaved_rope: false },
];

impl Architecture {
    /// Returns the architecture of a file.
    ///
    /// # Errors
    /// Fails if the architecture is not supported, or if the file does not hold a whole model.
    pub fn find(metadata: &GgufMetadata) -> ParseResult<&'static Self> {
        if let Some(other) = metadata.text("general.type")?.filter(|kind| *kind != "model") {
            return Err(format!("holds no model: its `general.type` is {other:?}"));
        }
        if metadata.whole_number("split.count")?.is_some_and(|count| count > 1) {
            return Err("is a part of a split file; `llama-gguf-split --merge` joins its parts".to_owned());
        }
        let name = metadata
            .text("general.architecture")?
            .ok_or("does not name its architecture in `general.architecture`")?;
        let names: Vec<&str> = ARCHITECTURES.iter().map(|known| known.name).collect();
        ARCHITECTURES.iter().find(|known| known.name == name).ok_or_else(|| {
            format!("has the architecture {name:?}, which is not supported; {} are", names.join(", "))
        })
    }

    /// Returns the metadata key of the setting `name` of this architecture.
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }
}

/// The parts of `config.json` that come from the tensors, not from the metadata.
pub struct TensorFacts {
    /// The number of rows of the embedding.
    pub vocab_size: usize,
    /// Whether the model uses its embedding as its output head.
    pub has_tied_head: bool,
    /// The divisor of each rotary frequency of a head. `None` if the file has no divisors.
    pub rope_factors: Option<Vec<f32>>,
}

/// Makes the `config.json` of a file.
///
/// # Errors
/// Fails if a setting is missing, has the wrong type, or is not supported.
pub fn config_json(
    architecture: &Architecture,
    metadata: &GgufMetadata,
    facts: &TensorFacts,
) -> ParseResult<Value> {
    let settings = Settings { architecture, metadata };
    settings.check_supported()?;
    let (num_heads, head_dim) = (settings.required_size("attention.head_count")?, settings.head_dim()?);
    let epsilon = "attention.layer_norm_rms_epsilon";
    Ok(json!({
        "architectures": [architecture.class],
        "model_type": architecture.name,
        "vocab_size": facts.vocab_size,
        "hidden_size": settings.required_size("embedding_length")?,
        "intermediate_size": settings.required_size("feed_forward_length")?,
        "num_hidden_layers": settings.required_size("block_count")?,
        "num_attention_heads": num_heads,
        "num_key_value_heads": settings.size("attention.head_count_kv")?.unwrap_or(num_heads),
        "head_dim": head_dim,
        "max_position_embeddings": settings.required_size("context_length")?,
        "rms_norm_eps": settings.number(epsilon)?.ok_or_else(|| settings.missing(epsilon))?,
        "rope_theta": settings.number("rope.freq_base")?.unwrap_or(10_000.0),
        "rope_scaling": settings.rope_scaling(facts.rope_factors.as_deref())?,
        "tie_word_embeddings": facts.has_tied_head,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "bos_token_id": metadata.token_id("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": metadata.token_id("tokenizer.ggml.eos_token_id")?,
    }))
}

/// The settings of an architecture in the metadata.
struct Settings<'a> {
    architecture: &'a Architecture,
    metadata: &'a GgufMetadata,
}

impl Settings<'_> {
    fn size(&self, name: &str) -> ParseResult<Option<u64>> {
        self.metadata.whole_number(&self.architecture.key(name))
    }

    fn number(&self, name: &str) -> ParseResult<Option<f64>> {
        self.metadata.float(&self.architecture.key(name))
    }

    fn required_size(&self, name: &str) -> ParseResult<u64> {
        self.size(name)?.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> String {
        format!("lacks `{}`", self.architecture.key(name))
    }

    /// Checks that the model has no experts and that no token attends to later tokens.
    fn check_supported(&self) -> ParseResult<()> {
        if let Some(count) = self.size("expert_count")?.filter(|count| *count > 0) {
            return Err(format!("has {count} experts in each layer, which is not supported"));
        }
        match self.metadata.flag(&self.architecture.key("attention.causal"))? {
            Some(false) => Err("asks for attention to later tokens, which is not supported".to_owned()),
            _ => Ok(()),
        }
    }

    /// Returns the width of a head's keys. Fails if the values or the rotary embedding have another width.
    fn head_dim(&self) -> ParseResult<u64> {
        let num_heads = self.required_size("attention.head_count")?;
        let head_dim = match self.size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None => self.required_size("embedding_length")? / num_heads.max(1),
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            if let Some(width) = self.size(name)?.filter(|width| *width != head_dim) {
                let key = self.architecture.key(name);
                return Err(format!(
                    "has heads of width {head_dim} and {width} as `{key}`, which is not supported"
                ));
            }
        }
        Ok(head_dim)
    }

    /// Returns the table `rope_scaling` of `config.json`. The reader of `config.json` checks later whether
    /// the scaling is supported. If the metadata state no type, the scaling is linear, as in llama.cpp.
    fn rope_scaling(&self, factors: Option<&[f32]>) -> ParseResult<Value> {
        let key = self.architecture.key("rope.scaling.type");
        let scaling_type = self.metadata.text(&key)?.unwrap_or("linear");
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        let is_none = match scaling_type {
            "none" => true,
            "linear" => factor.is_none_or(|factor| factor == 0.0 || factor == 1.0),
            _ => false,
        };
        match (is_none, factors) {
            (true, None) => Ok(Value::Null),
            (true, Some(factors)) => Ok(json!({
                "rope_type": "longrope",
                "short_factor": factors,
                "long_factor": factors,
                "factor": 1.0,
                "attention_factor": 1.0,
                "original_max_position_embeddings": self.required_size("context_length")?,
            })),
            (false, None) => Ok(json!({ "rope_type": scaling_type, "factor": factor })),
            (false, Some(_)) => Err(format!(
                "has both factors of rotary frequencies and {scaling_type:?} as `{key}`, which is not supported"
            )),
        }
    }
}
