//! A model's own tokenizer.

use std::path::Path;
use std::str::FromStr;

use tokenizers::ModelWrapper;

use dtr_core::error::{Error, Result, catch_panic};
use dtr_core::files::read_text_file;

/// Any text: it need not be one that the tokenizer knows.
const PROBE: &str = "a b";

/// A Hugging Face tokenizer.
#[derive(Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Err(Error::environment(format!("no tokenizer at `{}`", path.display())));
        }
        let text = read_text_file(path)?;
        let read = catch_panic(|| {
            let read = tokenizers::Tokenizer::from_str(&text);
            // A template that names a token without an id panics only where it is used.
            let _ = read.as_ref().map(|tokenizer| tokenizer.encode_fast(PROBE, true));
            read
        });
        read.unwrap_or_else(|panicked| Err(Box::new(panicked)))
            .map(Self)
            .map_err(|cause| Error::environment(format!("`{}` is not a tokenizer: {cause}", path.display())))
    }

    /// Token ids of `text`, with what the tokenizer itself adds around it (such as `<bos>`) if
    /// `special`.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self
            .0
            .encode_fast(text, special)
            .map_err(|cause| Error::failed(format!("cannot tokenize a text: {cause}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `tokens`, without special ones.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.0
            .decode(tokens, true)
            .map_err(|cause| Error::failed(format!("cannot tell the text of tokens: {cause}")))
    }

    /// The tokenizer of the library that reads it.
    pub(super) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.0
    }

    /// The token that stands for what the tokenizer does not know; none where it knows everything.
    pub fn unknown(&self) -> Option<u32> {
        let token = match self.0.get_model() {
            ModelWrapper::WordLevel(model) => Some(model.unk_token.as_str()),
            ModelWrapper::WordPiece(model) => Some(model.unk_token.as_str()),
            ModelWrapper::BPE(model) => model.unk_token.as_deref(),
            ModelWrapper::Unigram(_) => None,
        };
        token.and_then(|token| self.0.token_to_id(token))
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// The `tokenizer.json` text.
    pub fn to_json(&self) -> Result<String> {
        self.0
            .to_string(true)
            .map_err(|cause| Error::environment(format!("cannot write the tokenizer: {cause}")))
    }
}

impl From<tokenizers::Tokenizer> for Tokenizer {
    fn from(tokenizer: tokenizers::Tokenizer) -> Self {
        Self(tokenizer)
    }
}
