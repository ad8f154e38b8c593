//! Reads the tokens of a GGUF file and their types.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::special_tokens::SPECIAL_KEYS;
use crate::gguf::byte_reader::ParseResult;
use crate::gguf::metadata::GgufMetadata;

/// The types of tokens, as in `llama_token_type` of `llama.h`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TokenType {
    /// An ordinary token, or a token that the model does not use.
    Normal,
    /// The token for text that no other token represents.
    Unknown,
    /// A special token, such as the end of text.
    Control,
    /// A token that is recognised in a text before the pre-tokenizer splits the text. It is not special.
    UserDefined,
    /// A token for a byte, such as `<0x0A>`.
    Byte,
}

/// The tokens of a file, by id.
pub(super) struct Vocabulary<'a> {
    pub tokens: &'a [String],
    types: Vec<TokenType>,
    /// The id of each token. If a token occurs more than once, the map holds its last id.
    ids: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    /// Reads the tokens and their types.
    ///
    /// # Errors
    /// Fails if the tokens are missing, if the number of types differs from the number of tokens, or if a
    /// type is unknown.
    pub fn read(metadata: &'a GgufMetadata) -> ParseResult<Self> {
        let key = "tokenizer.ggml.tokens";
        let tokens = metadata.texts(key)?.ok_or_else(|| format!("lacks `{key}`"))?;
        let ids = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
        Ok(Self { tokens, types: read_types(metadata, tokens.len())?, ids })
    }

    /// Returns the id of a token, or `None` if the vocabulary lacks it.
    pub fn id(&self, token: &str) -> Option<usize> {
        self.ids.get(token).copied()
    }

    /// Returns the type of the token `id`.
    pub fn token_type(&self, id: usize) -> TokenType {
        self.types[id]
    }

    /// Returns the id of each token, as in the table `vocab` of `tokenizer.json`.
    pub fn to_json(&self) -> Map<String, Value> {
        self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect()
    }

    /// Returns the list `added_tokens` of `tokenizer.json`: the tokens that are recognised in a text before
    /// the pre-tokenizer splits the text. Control tokens and the unknown token are special.
    pub fn added_tokens(&self) -> Vec<Value> {
        let added = |(id, token): (usize, &String)| {
            let is_special = match self.types[id] {
                TokenType::Control | TokenType::Unknown => true,
                TokenType::UserDefined => false,
                TokenType::Normal | TokenType::Byte => return None,
            };
            let is_found = !token.is_empty() && self.id(token) == Some(id);
            is_found.then(|| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": is_special,
                })
            })
        };
        self.tokens.iter().enumerate().filter_map(added).collect()
    }
}

/// Reads the types of `len` tokens. If a file has no types, the tokens of [`SPECIAL_KEYS`] are control
/// tokens.
fn read_types(metadata: &GgufMetadata, len: usize) -> ParseResult<Vec<TokenType>> {
    let key = "tokenizer.ggml.token_type";
    let Some(types) = metadata.integers(key)? else {
        let mut types = vec![TokenType::Normal; len];
        for key in SPECIAL_KEYS {
            if let Some(token_type) = metadata.token_id(key)?.and_then(|id| types.get_mut(id)) {
                *token_type = TokenType::Control;
            }
        }
        return Ok(types);
    };
    if types.len() != len {
        return Err(format!("has {len} tokens and {} types of tokens", types.len()));
    }
    let token_type = |number: &i64| match number {
        0 | 1 | 5 => Ok(TokenType::Normal),
        2 => Ok(TokenType::Unknown),
        3 => Ok(TokenType::Control),
        4 => Ok(TokenType::UserDefined),
        6 => Ok(TokenType::Byte),
        _ => Err(format!("has {number} as a type in `{key}`")),
    };
    types.iter().map(token_type).collect()
}
