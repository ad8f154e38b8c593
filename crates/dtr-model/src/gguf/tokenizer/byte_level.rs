//! Makes `tokenizer.json` for byte-level BPE, which GGUF files call `gpt2`.

use serde_json::{Value, json};

use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::Vocabulary;
use crate::gguf::byte_reader::ParseResult;
use crate::gguf::metadata::{GgufMetadata, quoted};

/// Makes the parts of `tokenizer.json` that are specific to byte-level BPE.
///
/// # Errors
/// Fails if the merges are missing or malformed, or if the pre-tokenizer is not supported.
pub(super) fn tokenizer_json_parts(
    metadata: &GgufMetadata,
    vocabulary: &Vocabulary<'_>,
) -> ParseResult<Value> {
    let pre_tokenizer = PreTokenizer::find(metadata)?;
    let key = "tokenizer.ggml.merges";
    let merges = metadata.texts(key)?.ok_or_else(|| format!("lacks `{key}`"))?;
    let merges = merges.iter().map(|merge| split_merge(merge)).collect::<ParseResult<Vec<_>>>()?;
    Ok(json!({
        "normalizer": pre_tokenizer.normalizer(),
        "pre_tokenizer": pre_tokenizer.to_json(),
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre_tokenizer.ignores_merges(),
            "vocab": vocabulary.to_json(), "merges": merges,
        },
    }))
}

/// Splits a merge at its space into the two tokens that are merged.
fn split_merge(merge: &str) -> ParseResult<[&str; 2]> {
    match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok([left, right]),
        _ => {
            Err(format!("has the merge {}, which is not two tokens with a space between them", quoted(merge)))
        }
    }
}
