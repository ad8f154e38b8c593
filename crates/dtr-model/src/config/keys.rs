//! The keys of `config.json`: what each served architecture makes of each of them.
//!
//! The table says what transformers 5.17 does (`tests/reference/configs.py` checks it against the library).
//! A key that is not in the table is ignored without a warning, as in transformers: the architecture is fixed
//! by `model_type`, so such a key can change nothing, and published files hold dozens of them.

use super::ModelType;
use Allowed::{EmptyTable, False, Null, Text, True, UnusedQuantization, Zero};
use Fallback::{HeadWidth, NumHeads, Refused, Size};

/// A row of the table.
pub(super) struct Key {
    pub name: &'static str,
    llama: Rule,
    qwen2: Rule,
    qwen3: Rule,
}

/// What an architecture makes of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A whole number, with its value if the key is absent, and if it is `null`.
    Size { absent: Fallback, null: Fallback },
    /// A number with a decimal point, with its value if the key is absent.
    Number(f64),
    /// A flag. It is `false` if the key is absent or `null`.
    Flag,
    /// Part of the rotary embedding: see [`super::rope`].
    Rope,
    /// Decides which layers slide: see [`super::attention_pattern`].
    LayerPattern,
    /// Only these values are served, and the absence of the key. Another value asks for `feature`.
    Only { allowed: &'static [Allowed], feature: &'static str },
    /// Changes nothing that this crate computes.
    Ignored,
}

/// The value of a size that is absent or `null`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    Size(usize),
    /// `num_attention_heads`.
    NumHeads,
    /// `hidden_size / num_attention_heads`.
    HeadWidth,
    /// transformers fails too.
    Refused,
}

/// A value of a key that is served only with some values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowed {
    Null,
    False,
    True,
    Zero,
    EmptyTable,
    Text(&'static str),
    /// A table of bitsandbytes that quantises neither to 8 nor to 4 bits.
    UnusedQuantization,
}

impl Key {
    /// Returns what an architecture makes of the key.
    pub fn rule(&self, model_type: ModelType) -> Rule {
        match model_type {
            ModelType::Llama => self.llama,
            ModelType::Qwen2 => self.qwen2,
            ModelType::Qwen3 => self.qwen3,
        }
    }
}

/// A row with a rule for each architecture.
const fn each(name: &'static str, llama: Rule, qwen2: Rule, qwen3: Rule) -> Key {
    Key { name, llama, qwen2, qwen3 }
}

/// A row with one rule for all architectures.
const fn all(name: &'static str, rule: Rule) -> Key {
    each(name, rule, rule, rule)
}

const fn size(default: usize) -> Rule {
    Rule::Size { absent: Size(default), null: Refused }
}

const fn only(allowed: &'static [Allowed], feature: &'static str) -> Rule {
    Rule::Only { allowed, feature }
}

const ATTENTION_BIAS: Rule = only(&[False, Null], "biases in the attention (`attention_bias`)");
const MLP_BIAS: Rule = only(&[False, Null], "biases in the MLP");
const NESTED: Rule = only(&[Null], "a model inside a model");

/// The table. A row without values below is read by the module that its rule names.
pub(super) static KEYS: &[Key] = &[
    // Sizes: llama, qwen2, qwen3.
    each("vocab_size", size(32_000), size(151_936), size(151_936)),
    all("hidden_size", size(4096)),
    each("intermediate_size", size(11_008), size(22_016), size(22_016)),
    all("num_hidden_layers", size(32)),
    all("num_attention_heads", size(32)),
    each(
        "num_key_value_heads",
        Rule::Size { absent: NumHeads, null: NumHeads },
        Rule::Size { absent: Size(32), null: NumHeads },
        Rule::Size { absent: Size(32), null: NumHeads },
    ),
    each(
        "head_dim",
        Rule::Size { absent: HeadWidth, null: HeadWidth },
        Rule::Size { absent: HeadWidth, null: Refused },
        size(128),
    ),
    each("max_position_embeddings", size(2048), size(32_768), size(32_768)),
    all("rms_norm_eps", Rule::Number(1e-6)),
    // If the weights hold an embedding and a head that differ, the head is not tied all the same.
    all("tie_word_embeddings", Rule::Flag),
    // Parts of the computation that are served with some values only.
    all("hidden_act", only(&[Text("silu"), Text("swish")], "another activation than SiLU")),
    each("attention_bias", ATTENTION_BIAS, Rule::Ignored, ATTENTION_BIAS),
    each("mlp_bias", MLP_BIAS, Rule::Ignored, Rule::Ignored),
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
    all("rope_theta", Rule::Rope),
    all("rope_scaling", Rule::Rope),
    all("rope_parameters", Rule::Rope),
    all("partial_rotary_factor", Rule::Rope),
    all("original_max_position_embeddings", Rule::Rope),
    // Sliding windows. A Llama's attention never slides, but its cache does.
    all("layer_types", Rule::LayerPattern),
    all("sliding_window", Rule::LayerPattern),
    each("use_sliding_window", Rule::Ignored, Rule::LayerPattern, Rule::LayerPattern),
    each("max_window_layers", Rule::Ignored, Rule::LayerPattern, Rule::LayerPattern),
    each("attention_chunk_size", Rule::LayerPattern, Rule::Ignored, Rule::Ignored),
    // Leftovers of training, and settings of loading and generating. `dtr generate` reads `eos_token_id`
    // itself; the manifest says in which dtype a base computes.
    all("architectures", Rule::Ignored),
    all("attention_dropout", Rule::Ignored),
    all("attn_implementation", Rule::Ignored),
    all("auto_map", Rule::Ignored),
    all("bos_token_id", Rule::Ignored),
    all("chunk_size_feed_forward", Rule::Ignored),
    all("dtype", Rule::Ignored),
    all("eos_token_id", Rule::Ignored),
    all("id2label", Rule::Ignored),
    all("initializer_range", Rule::Ignored),
    all("label2id", Rule::Ignored),
    all("num_labels", Rule::Ignored),
    all("output_attentions", Rule::Ignored),
    all("output_hidden_states", Rule::Ignored),
    all("pad_token_id", Rule::Ignored),
    all("pretraining_tp", Rule::Ignored),
    all("problem_type", Rule::Ignored),
    all("return_dict", Rule::Ignored),
    all("tokenizer_class", Rule::Ignored),
    all("torch_dtype", Rule::Ignored),
    all("transformers_version", Rule::Ignored),
    all("use_cache", Rule::Ignored),
];
