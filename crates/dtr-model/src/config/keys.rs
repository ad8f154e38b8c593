//! The table of the keys of `config.json`: how each supported architecture uses each key.
//!
//! The table follows transformers 5.17. `tests/reference/configs.py` compares the table with transformers.
//!
//! If a key is not in the table, dtr ignores it silently, as transformers does. Such a key changes nothing,
//! because `model_type` alone selects the architecture. Published files hold dozens of such keys.

use super::ModelType;
use AllowedValue::{EmptyTable, False, Null, Text, True, UnusedQuantization, Zero};
use Fallback::{HeadWidth, NumHeads, Refused, Size};

/// A key of `config.json`, with its rule for each architecture.
pub(super) struct ConfigKey {
    pub name: &'static str,
    llama: KeyRule,
    qwen2: KeyRule,
    qwen3: KeyRule,
}

/// How an architecture uses a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyRule {
    /// A whole number. An absent key and the value `null` each have a fallback.
    Size { absent: Fallback, null: Fallback },
    /// A floating-point number, with its default.
    Number(f64),
    /// A flag. It is `false` if the key is absent or `null`.
    Flag,
    /// Part of the rotary embedding: see [`super::rope`].
    Rope,
    /// Part of the sliding-window settings: see [`super::sliding_window`].
    SlidingWindow,
    /// The key may be absent or have one of the values `allowed`. Any other value needs `feature`, which dtr
    /// does not support.
    Only { allowed: &'static [AllowedValue], feature: &'static str },
    /// The key has no effect on the computations of this crate.
    Ignored,
}

/// The value of a size whose key is absent or `null`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    Size(usize),
    /// `num_attention_heads`.
    NumHeads,
    /// `hidden_size / num_attention_heads`.
    HeadWidth,
    /// There is no fallback. dtr refuses the file, as transformers does.
    Refused,
}

/// A supported value of a key with [`KeyRule::Only`].
#[derive(Clone, Copy, Debug)]
pub(super) enum AllowedValue {
    Null,
    False,
    True,
    Zero,
    EmptyTable,
    Text(&'static str),
    /// Settings of bitsandbytes that quantise nothing.
    UnusedQuantization,
}

impl ConfigKey {
    /// Returns how the architecture `model_type` uses the key.
    pub fn rule(&self, model_type: ModelType) -> KeyRule {
        match model_type {
            ModelType::Llama => self.llama,
            ModelType::Qwen2 => self.qwen2,
            ModelType::Qwen3 => self.qwen3,
        }
    }
}

/// Creates a row with a rule for each architecture.
const fn each(name: &'static str, llama: KeyRule, qwen2: KeyRule, qwen3: KeyRule) -> ConfigKey {
    ConfigKey { name, llama, qwen2, qwen3 }
}

/// Creates a row with one rule for all architectures.
const fn all(name: &'static str, rule: KeyRule) -> ConfigKey {
    each(name, rule, rule, rule)
}

const fn size(default: usize) -> KeyRule {
    KeyRule::Size { absent: Size(default), null: Refused }
}

const fn only(allowed: &'static [AllowedValue], feature: &'static str) -> KeyRule {
    KeyRule::Only { allowed, feature }
}

const ATTENTION_BIAS: KeyRule = only(&[False, Null], "biases in the attention (`attention_bias`)");
const MLP_BIAS: KeyRule = only(&[False, Null], "biases in the MLP");
const NESTED: KeyRule = only(&[Null], "a model inside a model");

/// The table of keys. The defaults of keys with [`KeyRule::Rope`] or [`KeyRule::SlidingWindow`] are in the
/// modules `rope` and `sliding_window`.
pub(super) static CONFIG_KEYS: &[ConfigKey] = &[
    // Sizes. `each` takes the rules of llama, qwen2 and qwen3, in this order.
    each("vocab_size", size(32_000), size(151_936), size(151_936)),
    all("hidden_size", size(4096)),
    each("intermediate_size", size(11_008), size(22_016), size(22_016)),
    all("num_hidden_layers", size(32)),
    all("num_attention_heads", size(32)),
    each(
        "num_key_value_heads",
        KeyRule::Size { absent: NumHeads, null: NumHeads },
        KeyRule::Size { absent: Size(32), null: NumHeads },
        KeyRule::Size { absent: Size(32), null: NumHeads },
    ),
    each(
        "head_dim",
        KeyRule::Size { absent: HeadWidth, null: HeadWidth },
        KeyRule::Size { absent: HeadWidth, null: Refused },
        size(128),
    ),
    each("max_position_embeddings", size(2048), size(32_768), size(32_768)),
    all("rms_norm_eps", KeyRule::Number(1e-6)),
    // The stored weights override this flag: a stored head that differs from the embedding is not tied.
    all("tie_word_embeddings", KeyRule::Flag),
    // These keys change the computation. dtr supports only some of their values.
    all("hidden_act", only(&[Text("silu"), Text("swish")], "another activation than SiLU")),
    each("attention_bias", ATTENTION_BIAS, KeyRule::Ignored, ATTENTION_BIAS),
    each("mlp_bias", MLP_BIAS, KeyRule::Ignored, KeyRule::Ignored),
    all("is_causal", only(&[True, Null], "attention to later tokens (`is_causal`)")),
    all("is_encoder_decoder", only(&[False, Null], "an encoder")),
    all("per_layer_config", only(&[EmptyTable, Null], "layers of different shapes (`per_layer_config`)")),
    all("num_kv_shared_layers", only(&[Zero, Null], "layers that share keys and values")),
    all("text_config", NESTED),
    all("text_encoder", NESTED),
    all("decoder", NESTED),
    all("generator", NESTED),
    all("quantization_config", only(&[UnusedQuantization, EmptyTable, Null, False], "quantised weights")),
    // The rotary embedding.
    all("rope_theta", KeyRule::Rope),
    all("rope_scaling", KeyRule::Rope),
    all("rope_parameters", KeyRule::Rope),
    all("partial_rotary_factor", KeyRule::Rope),
    all("original_max_position_embeddings", KeyRule::Rope),
    // Sliding windows. transformers' Llama uses a window only to limit its KV cache. The attention still sees
    // all earlier tokens.
    all("layer_types", KeyRule::SlidingWindow),
    all("sliding_window", KeyRule::SlidingWindow),
    each("use_sliding_window", KeyRule::Ignored, KeyRule::SlidingWindow, KeyRule::SlidingWindow),
    each("max_window_layers", KeyRule::Ignored, KeyRule::SlidingWindow, KeyRule::SlidingWindow),
    each("attention_chunk_size", KeyRule::SlidingWindow, KeyRule::Ignored, KeyRule::Ignored),
    // Records of training, and settings for loading and for generation. For `dtr generate`,
    // `directory/eos_tokens.rs` reads `eos_token_id`. `dtype` and `torch_dtype` are ignored, because the
    // manifest sets the dtype.
    all("architectures", KeyRule::Ignored),
    all("attention_dropout", KeyRule::Ignored),
    all("attn_implementation", KeyRule::Ignored),
    all("auto_map", KeyRule::Ignored),
    all("bos_token_id", KeyRule::Ignored),
    all("chunk_size_feed_forward", KeyRule::Ignored),
    all("dtype", KeyRule::Ignored),
    all("eos_token_id", KeyRule::Ignored),
    all("id2label", KeyRule::Ignored),
    all("initializer_range", KeyRule::Ignored),
    all("label2id", KeyRule::Ignored),
    all("num_labels", KeyRule::Ignored),
    all("output_attentions", KeyRule::Ignored),
    all("output_hidden_states", KeyRule::Ignored),
    all("pad_token_id", KeyRule::Ignored),
    all("pretraining_tp", KeyRule::Ignored),
    all("problem_type", KeyRule::Ignored),
    all("return_dict", KeyRule::Ignored),
    all("tokenizer_class", KeyRule::Ignored),
    all("torch_dtype", KeyRule::Ignored),
    all("transformers_version", KeyRule::Ignored),
    all("use_cache", KeyRule::Ignored),
];
