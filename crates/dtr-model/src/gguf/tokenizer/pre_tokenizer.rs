//! The pre-tokenizers of byte-level BPE. A pre-tokenizer splits a text into words before tokens are merged.

use serde_json::{Value, json};

use crate::gguf::byte_reader::ParseResult;
use crate::gguf::metadata::GgufMetadata;

/// Llama 3's pattern.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen2's pattern.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The patterns that llama.cpp uses for a file without a pre-tokenizer. The patterns apply in order: each
/// pattern splits the pieces of the previous pattern.
const DEFAULT: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

/// A supported pre-tokenizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PreTokenizer {
    Default,
    Gpt2,
    Llama3,
    Qwen2,
    SmolLm,
}

impl PreTokenizer {
    /// Returns the pre-tokenizer of a file.
    ///
    /// # Errors
    /// Fails if the pre-tokenizer is not supported.
    pub fn find(metadata: &GgufMetadata) -> ParseResult<Self> {
        match metadata.text("tokenizer.ggml.pre")? {
            None | Some("default") => Ok(Self::Default),
            Some("gpt-2") => Ok(Self::Gpt2),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("smollm") => Ok(Self::SmolLm),
            Some(other) => Err(format!(
                "has the unsupported pre-tokenizer {other:?} (supported: default, gpt-2, llama-bpe, qwen2, \
                 smollm)"
            )),
        }
    }

    /// Returns the pre-tokenizer of a `tokenizer.json`. Returns `None` if llama.cpp has no name for it.
    pub fn of_tokenizer_json(tokenizer: &Value) -> Option<Self> {
        let own = (patterns(&tokenizer["pre_tokenizer"]), &tokenizer["normalizer"]["type"]);
        [Self::Gpt2, Self::Llama3, Self::Qwen2, Self::SmolLm, Self::Default].into_iter().find(|known| {
            let ignores_merges = tokenizer["model"]["ignore_merges"] == true;
            (patterns(&known.to_json()), &known.normalizer()["type"]) == own
                && known.ignores_merges() == ignores_merges
        })
    }

    /// Returns the name in `tokenizer.ggml.pre`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Gpt2 => "gpt-2",
            Self::Llama3 => "llama-bpe",
            Self::Qwen2 => "qwen2",
            Self::SmolLm => "smollm",
        }
    }

    /// Returns whether, by default, the tokenizer adds the beginning-of-text token before every text. The
    /// metadata of a file can override this default.
    pub fn adds_bos(self) -> bool {
        self == Self::Llama3
    }

    /// Returns the flag `ignore_merges` of `tokenizer.json`: whether a word of the vocabulary becomes one
    /// token without any merges.
    pub fn ignores_merges(self) -> bool {
        self == Self::Llama3
    }

    /// Returns the normalizer in the format of `tokenizer.json`.
    pub fn normalizer(self) -> Value {
        match self {
            Self::Qwen2 => json!({ "type": "NFC" }),
            _ => Value::Null,
        }
    }

    /// Returns the pre-tokenizer in the format of `tokenizer.json`.
    pub fn to_json(self) -> Value {
        let digits = json!({ "type": "Digits", "individual_digits": true });
        match self {
            Self::Gpt2 => byte_level(true),
            Self::SmolLm => sequence(vec![digits, byte_level(true)]),
            Self::Llama3 => sequence(vec![split(LLAMA_3), byte_level(false)]),
            Self::Qwen2 => sequence(vec![split(QWEN_2), byte_level(false)]),
            Self::Default => sequence(DEFAULT.into_iter().map(split).chain([byte_level(false)]).collect()),
        }
    }
}

/// Returns the parts of a pre-tokenizer of `tokenizer.json`, without settings that do not change tokens: the
/// type of each part, and its pattern or its flags.
fn patterns(pre_tokenizer: &Value) -> Vec<(String, Value)> {
    let parts = match pre_tokenizer["pretokenizers"].as_array() {
        Some(parts) => parts.as_slice(),
        None => std::slice::from_ref(pre_tokenizer),
    };
    let setting = |part: &Value| match part["type"].as_str() {
        Some("Split") => json!([part["pattern"], part["behavior"], part["invert"]]),
        Some("ByteLevel") => {
            json!([part["add_prefix_space"], part["use_regex"].as_bool().unwrap_or(true)])
        }
        Some("Digits") => part["individual_digits"].clone(),
        _ => part.clone(),
    };
    parts.iter().map(|part| (part["type"].to_string(), setting(part))).collect()
}

/// Returns a pre-tokenizer that splits a text into the matches of `pattern` and the texts between them.
fn split(pattern: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

/// Returns a pre-tokenizer that replaces each byte with a character. If `use_regex` is true, the
/// pre-tokenizer first splits a text by GPT-2's pattern.
fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

fn sequence(parts: Vec<Value>) -> Value {
    json!({ "type": "Sequence", "pretokenizers": parts })
}
