//! Makes `tokenizer.json` for SentencePiece's BPE, which GGUF files call `llama`. Such a tokenizer has a
//! score for each token instead of a list of merges, and has a token for each byte.

use serde_json::{Value, json};

use super::vocabulary::{TokenType, Vocabulary};
use crate::gguf::byte_reader::ParseResult;
use crate::gguf::metadata::GgufMetadata;

/// The character that stands for a space in tokens.
const SPACE: &str = "▁";

/// The longest token for which merges are derived, in bytes. By default, SentencePiece makes tokens of at
/// most 16 characters. Longer tokens are runs of spaces in vocabularies for code.
const MAX_MERGED_BYTES: usize = 256;

/// Makes the parts of `tokenizer.json` that are specific to SentencePiece's BPE.
///
/// # Errors
/// Fails if the number of scores differs from the number of tokens.
pub(super) fn tokenizer_json_parts(
    metadata: &GgufMetadata,
    vocabulary: &Vocabulary<'_>,
) -> ParseResult<Value> {
    let unknown = (0..vocabulary.tokens.len()).find(|id| vocabulary.token_type(*id) == TokenType::Unknown);
    let unknown = metadata.token_id("tokenizer.ggml.unknown_token_id")?.or(unknown);
    let adds_space = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let prepend = json!({ "type": "Prepend", "prepend": SPACE });
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if adds_space {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let normalizers = if adds_space { vec![prepend, replace] } else { vec![replace] };
    Ok(json!({
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown.and_then(|id| vocabulary.tokens.get(id)),
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.to_json(), "merges": merges(vocabulary, scores(metadata, vocabulary)?),
        },
    }))
}

/// Returns the score of each token.
fn scores<'a>(metadata: &'a GgufMetadata, vocabulary: &Vocabulary<'_>) -> ParseResult<&'a [f64]> {
    let key = "tokenizer.ggml.scores";
    let scores = metadata.floats(key)?.ok_or_else(|| format!("lacks `{key}`"))?;
    match scores.len() == vocabulary.tokens.len() {
        true => Ok(scores),
        false => Err(format!("has {} tokens and {} scores", vocabulary.tokens.len(), scores.len())),
    }
}

/// A pair of tokens whose joined text is itself a token, the result.
struct Merge<'a> {
    pair: [&'a str; 2],
    /// The scores of the result, the left token and the right token.
    scores: [f64; 3],
    /// The id of the result.
    id: usize,
}

/// Returns all pairs of tokens whose joined text is a token. The order is that of transformers. Pairs with a
/// higher score of the result come first, and then pairs with a lower id of the result. The remaining ties
/// are ordered by falling score of the left token, then of the right token.
fn merges<'a>(vocabulary: &Vocabulary<'a>, scores: &[f64]) -> Vec<[&'a str; 2]> {
    let mut merges = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        let is_merged = matches!(vocabulary.token_type(id), TokenType::Normal | TokenType::UserDefined);
        if !is_merged || token.len() > MAX_MERGED_BYTES || vocabulary.id(token) != Some(id) {
            continue;
        }
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(left_id), Some(right_id)) = (vocabulary.id(left), vocabulary.id(right)) {
                let scores = [scores[id], scores[left_id], scores[right_id]];
                merges.push(Merge { pair: [left, right], scores, id });
            }
        }
    }
    merges.sort_by(|a, b| {
        let by_score = |index: usize| b.scores[index].total_cmp(&a.scores[index]);
        by_score(0).then(a.id.cmp(&b.id)).then(by_score(1)).then(by_score(2))
    });
    merges.into_iter().map(|merge| merge.pair).collect()
}
