//! Makes the metadata of a byte-level BPE tokenizer from the files of a Hugging Face directory.

use serde_json::Value;

use super::pre_tokenizer::PreTokenizer;
use crate::gguf::MetadataValue;

/// The types of tokens in `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// The files of a tokenizer.
pub(crate) struct TokenizerFiles {
    /// `tokenizer.json`.
    pub tokenizer: Value,
    /// The template of chats.
    pub chat_template: Option<String>,
    /// The token at the beginning of a text, if the tokenizer has one, and whether it is added.
    pub bos_token_id: Option<u32>,
    /// The tokens at which generation ends. The first is the end token of the file.
    pub eos_token_ids: Vec<u32>,
    /// The number of rows of the embedding, which may exceed the number of tokens.
    pub vocab_size: usize,
}

impl TokenizerFiles {
    /// Returns the metadata of the tokenizer. An error is a sentence about the tokenizer.
    ///
    /// # Errors
    /// Fails if llama.cpp has no such tokenizer.
    pub fn metadata(&self) -> std::result::Result<Vec<(String, MetadataValue)>, String> {
        let model = &self.tokenizer["model"];
        if model["type"] != "BPE" || model["byte_fallback"] == true {
            return Err("is not byte-level BPE".to_owned());
        }
        let pre_tokenizer = PreTokenizer::of_tokenizer_json(&self.tokenizer)
            .ok_or("splits texts in a way that llama.cpp does not know by a name")?;
        let (tokens, types) = self.tokens()?;
        let text = |text: &str| MetadataValue::Text(text.to_owned());
        let mut metadata = vec![
            ("model", text("gpt2")),
            ("pre", text(pre_tokenizer.name())),
            ("tokens", MetadataValue::TextList(tokens)),
            ("token_type", MetadataValue::I32List(types)),
            ("merges", MetadataValue::TextList(merges(model)?)),
            ("add_bos_token", MetadataValue::Bool(self.bos_token_id.is_some())),
        ];
        metadata.extend(self.bos_token_id.map(|id| ("bos_token_id", MetadataValue::U32(id))));
        metadata.extend(self.eos_token_ids.first().map(|id| ("eos_token_id", MetadataValue::U32(*id))));
        let mut metadata: Vec<_> =
            metadata.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect();
        let template = self.chat_template.as_deref().map(text);
        metadata.extend(template.map(|template| ("tokenizer.chat_template".to_owned(), template)));
        Ok(metadata)
    }

    /// Returns the text and the type of each row of the embedding.
    fn tokens(&self) -> std::result::Result<(Vec<String>, Vec<i32>), String> {
        let mut tokens: Vec<String> = (0..self.vocab_size).map(|id| format!("[PAD{id}]")).collect();
        let mut types = vec![UNUSED; self.vocab_size];
        let vocabulary = self.tokenizer["model"]["vocab"].as_object().ok_or("has no vocabulary")?;
        let normal = vocabulary.iter().map(|(token, id)| (token.as_str(), id, NORMAL));
        let added = self.tokenizer["added_tokens"].as_array().into_iter().flatten().map(|token| {
            let token_type = if token["special"] == true { CONTROL } else { USER_DEFINED };
            (token["content"].as_str().unwrap_or_default(), &token["id"], token_type)
        });
        for (token, id, token_type) in normal.chain(added) {
            let row = id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id < tokens.len());
            let row = row.ok_or_else(|| format!("gives `{token}` the id {id}, which has no embedding"))?;
            token.clone_into(&mut tokens[row]);
            types[row] = token_type;
        }
        Ok((tokens, types))
    }
}

/// Returns the merges, each as two texts with a space between them.
fn merges(model: &Value) -> std::result::Result<Vec<String>, String> {
    let merges = model["merges"].as_array().ok_or("has no merges")?;
    let merge = |merge: &Value| match merge {
        Value::String(text) => Some(text.clone()),
        Value::Array(pair) => Some(format!("{} {}", pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
        _ => None,
    };
    merges.iter().map(merge).collect::<Option<_>>().ok_or_else(|| "has a malformed merge".to_owned())
}
