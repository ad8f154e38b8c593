//! Makes the files of a tokenizer from metadata of a GGUF file: the entries whose keys begin with
//! `tokenizer.`.

mod byte_level;
mod metadata_writer;
mod pre_tokenizer;
mod sentence_piece;
mod special_tokens;
mod vocabulary;

use serde_json::{Value, json};

pub(crate) use self::metadata_writer::TokenizerFiles;
use self::vocabulary::Vocabulary;
use super::byte_reader::ParseResult;
use super::metadata::GgufMetadata;

/// The tokenizer in the metadata of a file.
pub(super) struct GgufTokenizer<'a> {
    pub metadata: &'a GgufMetadata,
}

/// The supported kinds of tokenizers.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Byte-level BPE with a list of merges. GGUF files call this kind `gpt2`.
    ByteLevel,
    /// SentencePiece's BPE with a score for each token. GGUF files call this kind `llama`.
    SentencePiece,
}

impl GgufTokenizer<'_> {
    /// Makes `tokenizer.json`.
    ///
    /// # Errors
    /// Fails if a part of the metadata is missing or not supported.
    pub fn tokenizer_json(&self) -> ParseResult<Value> {
        let vocabulary = Vocabulary::read(self.metadata)?;
        let mut json = match self.kind()? {
            Kind::ByteLevel => byte_level::tokenizer_json_parts(self.metadata, &vocabulary)?,
            Kind::SentencePiece => sentence_piece::tokenizer_json_parts(self.metadata, &vocabulary)?,
        };
        json["version"] = json!("1.0");
        json["truncation"] = Value::Null;
        json["padding"] = Value::Null;
        json["added_tokens"] = vocabulary.added_tokens().into();
        json["post_processor"] = self.post_processor(&vocabulary)?;
        Ok(json)
    }

    /// Makes `tokenizer_config.json`, which holds the special tokens and the chat template.
    ///
    /// # Errors
    /// Fails if a value is missing or has the wrong type.
    pub fn tokenizer_config_json(&self) -> ParseResult<Value> {
        let vocabulary = Vocabulary::read(self.metadata)?;
        let token = |name: &str| self.token(&vocabulary, name);
        Ok(json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": token("bos")?,
            "eos_token": token("eos")?,
            "unk_token": token("unknown")?,
            "pad_token": token("padding")?,
            "add_bos_token": self.adds_bos()?,
            "add_eos_token": self.adds_eos()?,
            "clean_up_tokenization_spaces": false,
            "chat_template": self.metadata.text("tokenizer.chat_template")?,
        }))
    }

    /// Makes `generation_config.json`, which holds the tokens at which generation ends.
    ///
    /// # Errors
    /// Fails if a value is missing or has the wrong type.
    pub fn generation_config_json(&self) -> ParseResult<Value> {
        let vocabulary = Vocabulary::read(self.metadata)?;
        Ok(json!({
            "bos_token_id": self.metadata.token_id("tokenizer.ggml.bos_token_id")?,
            "eos_token_id": special_tokens::end_tokens(self.metadata, &vocabulary)?,
        }))
    }

    fn kind(&self) -> ParseResult<Kind> {
        match self.metadata.text("tokenizer.ggml.model")? {
            Some("gpt2") => Ok(Kind::ByteLevel),
            Some("llama") => Ok(Kind::SentencePiece),
            Some(other) => Err(format!(
                "has a tokenizer of the kind {other:?}, which is not supported; gpt2 and llama are"
            )),
            None => Err("has no tokenizer: it lacks `tokenizer.ggml.model`".to_owned()),
        }
    }

    /// Returns whether the tokenizer adds the beginning-of-text token before every text. If the metadata lack
    /// this setting, llama.cpp's default decides.
    fn adds_bos(&self) -> ParseResult<bool> {
        let is_default = || {
            Ok(match self.kind()? {
                Kind::SentencePiece => true,
                Kind::ByteLevel => pre_tokenizer::PreTokenizer::find(self.metadata)?.adds_bos(),
            })
        };
        self.metadata.flag("tokenizer.ggml.add_bos_token")?.map_or_else(is_default, Ok)
    }

    fn adds_eos(&self) -> ParseResult<bool> {
        Ok(self.metadata.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false))
    }

    /// Returns the text of the special token `name`, or `None` if the file does not have this token.
    fn token<'a>(&self, vocabulary: &'a Vocabulary<'_>, name: &str) -> ParseResult<Option<&'a str>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = self.metadata.token_id(&key)? else { return Ok(None) };
        let token = vocabulary.tokens.get(id);
        let len = vocabulary.tokens.len();
        token.map(|token| Some(token.as_str())).ok_or_else(|| format!("has {id} as `{key}` of {len} tokens"))
    }

    /// Makes the post-processor, which adds special tokens before and after every text.
    fn post_processor(&self, vocabulary: &Vocabulary<'_>) -> ParseResult<Value> {
        let added = |is_added: bool, name: &str| match is_added {
            true => self.token(vocabulary, name),
            false => Ok(None),
        };
        let (bos, eos) = (added(self.adds_bos()?, "bos")?, added(self.adds_eos()?, "eos")?);
        if bos.is_none() && eos.is_none() {
            return Ok(Value::Null);
        }
        let special =
            |token: &str, type_id: u32| json!({ "SpecialToken": { "id": token, "type_id": type_id } });
        let around = |sequence: &str, type_id: u32| {
            let text = json!({ "Sequence": { "id": sequence, "type_id": type_id } });
            let parts =
                [bos.map(|bos| special(bos, type_id)), Some(text), eos.map(|eos| special(eos, type_id))];
            parts.into_iter().flatten().collect::<Vec<_>>()
        };
        let entries = bos.into_iter().chain(eos).map(|token| {
            let ids: Vec<usize> = vocabulary.id(token).into_iter().collect();
            (token.to_owned(), json!({ "id": token, "ids": ids, "tokens": [token] }))
        });
        let (single, second) = (around("A", 0), around("B", 1));
        Ok(json!({
            "type": "TemplateProcessing",
            "single": single,
            "pair": single.iter().cloned().chain(second).collect::<Vec<_>>(),
            "special_tokens": entries.collect::<serde_json::Map<_, _>>(),
        }))
    }
}
