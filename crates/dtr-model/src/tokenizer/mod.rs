//! A model's tokenizer, and incremental decoding.

mod detokenizer;

use std::path::Path;
use std::str::FromStr;

use tokenizers::ModelWrapper;

use dtr_core::error::{Error, Result, catch_panic};
use dtr_core::files::read_text_file;

pub use detokenizer::Detokenizer;

/// A text that is encoded once to find broken tokenizers. Its words need not be in the vocabulary.
const PROBE: &str = "a b";

/// A Hugging Face tokenizer.
///
/// ```
/// # fn main() -> dtr_core::error::Result<()> {
/// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer.json");
/// use dtr_model::Tokenizer;
///
/// let tokenizer = Tokenizer::read(&path)?;
/// let ids = tokenizer.encode("where is the lamp?", true)?;
/// assert_eq!(tokenizer.decode(&ids)?, "where is the lamp?");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// Fails when the file cannot be read or does not describe a tokenizer.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Err(Error::environment(format!(
                "cannot read `{}`: there is no such file",
                path.display()
            )));
        }
        let text = read_text_file(path)?;
        let read = catch_panic(|| {
            let tokenizer = tokenizers::Tokenizer::from_str(&text);
            // A post-processor with an unknown special token panics only when it is used.
            let _ = tokenizer.as_ref().map(|tokenizer| tokenizer.encode_fast(PROBE, true));
            tokenizer
        });
        read.unwrap_or_else(|panicked| Err(Box::new(panicked)))
            .map(Self)
            .map_err(|cause| Error::environment(format!("`{}` is not a tokenizer: {cause}", path.display())))
    }

    /// Returns the token ids of `text`, with the special tokens that the tokenizer adds (such as `<bos>`) if
    /// `add_special_tokens`.
    ///
    /// # Errors
    /// Fails when the tokenizer refuses the text.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = self
            .0
            .encode_fast(text, add_special_tokens)
            .map_err(|cause| Error::failed(format!("cannot tokenize a text: {cause}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the text of `tokens`, without special tokens.
    ///
    /// # Errors
    /// Fails when the tokenizer's decoder refuses the tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.0.decode(tokens, true).map_err(|cause| Error::failed(format!("cannot decode tokens: {cause}")))
    }

    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.0
    }

    /// Returns the token for unknown text, or `None` if the tokenizer has none.
    pub fn unknown_token(&self) -> Option<u32> {
        let token = match self.0.get_model() {
            ModelWrapper::WordLevel(model) => Some(model.unk_token.as_str()),
            ModelWrapper::WordPiece(model) => Some(model.unk_token.as_str()),
            ModelWrapper::BPE(model) => model.unk_token.as_deref(),
            ModelWrapper::Unigram(_) => None,
        };
        token.and_then(|token| self.0.token_to_id(token))
    }

    /// Returns the number of tokens, including added tokens.
    pub fn vocab_size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// Returns the text of `tokenizer.json`.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot be serialized.
    pub fn to_json(&self) -> Result<String> {
        self.0
            .to_string(true)
            .map_err(|cause| Error::environment(format!("cannot serialize the tokenizer: {cause}")))
    }
}

impl From<tokenizers::Tokenizer> for Tokenizer {
    fn from(tokenizer: tokenizers::Tokenizer) -> Self {
        Self(tokenizer)
    }
}
