//! Finds the special tokens of a GGUF file.

use std::collections::BTreeSet;

use super::vocabulary::{TokenType, Vocabulary};
use crate::gguf::byte_reader::ParseResult;
use crate::gguf::metadata::GgufMetadata;

/// The keys of special tokens. If a file does not list the types of tokens, exactly the tokens under these
/// keys are special.
pub(super) const SPECIAL_KEYS: [&str; 6] = [
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id",
];

/// The keys of the tokens for the end of a text, of a turn and of a message.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// The texts by which llama.cpp recognises control tokens that end a turn.
const END_TOKENS: [&str; 10] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<EOT>",
    "_<EOT>",
    "<end_of_utterance>",
];

/// Returns the tokens at which generation ends. If the file has an end-of-text token, that token is the
/// first.
///
/// # Errors
/// Fails if a value is not a token id.
pub(super) fn end_tokens(metadata: &GgufMetadata, vocabulary: &Vocabulary<'_>) -> ParseResult<Vec<usize>> {
    let mut ids = Vec::new();
    for key in END_KEYS {
        ids.extend(metadata.token_id(key)?);
    }
    let is_control = |id: &usize| vocabulary.token_type(*id) == TokenType::Control;
    ids.extend(END_TOKENS.iter().filter_map(|token| vocabulary.id(token)).filter(is_control));
    let mut known = BTreeSet::new();
    ids.retain(|id| known.insert(*id));
    Ok(ids)
}
