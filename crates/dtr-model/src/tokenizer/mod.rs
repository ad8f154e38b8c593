//! A model's tokenizer, and incremental decoding.

mod detokenizer;
pub(crate) mod prefix_token;
mod tokenizer_json;

use std::path::Path;
use std::str::FromStr;

use tokenizers::ModelWrapper;

use self::prefix_token::PrefixToken;
use crate::directory::model_files::ModelFiles;
use dtr_core::error::{Error, Result, catch_panic};
use dtr_core::files::read_text_file;

pub use detokenizer::Detokenizer;
pub(crate) use tokenizer_json::TokenizerJsonSettings;

/// A text that is encoded to test whether a tokenizer works, and to find the special tokens that it adds. The
/// words of this text need not be in the vocabulary.
const PROBE: &str = "a b";

/// A Hugging Face tokenizer.
///
/// A `tokenizer.json` may hold truncation and padding settings of the program that saved it. This type
/// ignores these settings, as transformers does when it encodes a text.
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
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    prefix: Option<PrefixToken>,
}

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
        Self::parse(&read_text_file(path)?, path)
    }

    /// Parses `text`, the content of a `tokenizer.json`. Errors name `path`.
    fn parse(text: &str, path: &Path) -> Result<Self> {
        let read = catch_panic(|| {
            let tokenizer = tokenizers::Tokenizer::from_str(text);
            // A post-processor with an unknown special token panics only when the tokenizer encodes a text.
            let _ = tokenizer.as_ref().map(|tokenizer| tokenizer.encode_fast(PROBE, true));
            tokenizer
        });
        read.unwrap_or_else(|panicked| Err(Box::new(panicked)))
            .map(Self::from)
            .map_err(|cause| Error::environment(format!("`{}` is not a tokenizer: {cause}", path.display())))
    }

    /// Reads the tokenizer of the model in `directory`, which may also be a GGUF file. Reads
    /// `tokenizer.json`, and the names of its special tokens in `tokenizer_config.json` and
    /// `special_tokens_map.json`.
    ///
    /// # Errors
    /// Fails when [`Tokenizer::read`] does, or when one of the other two files is not JSON.
    pub fn read_directory(directory: &Path) -> Result<Self> {
        let files = ModelFiles::open(directory)?;
        let tokenizer = match &files {
            ModelFiles::Directory(_) => Self::read(&files.path_of("tokenizer.json"))?,
            ModelFiles::Gguf(_) => Self::parse(&files.required_text("tokenizer.json")?, directory)?,
        };
        match prefix_token::read(&files, &tokenizer.inner)? {
            Some(prefix) => Ok(Self { prefix, ..tokenizer }),
            None => Ok(tokenizer),
        }
    }

    /// Returns the token ids of `text`. If `add_special_tokens` is true, the ids include the special tokens
    /// that the tokenizer adds, such as `<bos>`.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot encode the text.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, add_special_tokens)
            .map_err(|cause| Error::failed(format!("cannot tokenize a text: {cause}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the token ids of `text`. The tokenizer adds special tokens only if `text` does not begin with
    /// the text of the [`Tokenizer::prefix_token`]. The output of a chat template usually begins with this
    /// token's text.
    ///
    /// lm-evaluation-harness encodes prompts in this way.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot encode the text.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let has_prefix = self.prefix.as_ref().is_some_and(|prefix| text.starts_with(&prefix.text));
        self.encode(text, !has_prefix)
    }

    /// Returns the token that lm-evaluation-harness puts before a text that is scored without a prompt. It is
    /// the token for the beginning of a text (BOS), or else the token for the end of a text (EOS). Returns
    /// `None` if the tokenizer's files name neither token.
    pub fn prefix_token(&self) -> Option<u32> {
        self.prefix.as_ref().map(|prefix| prefix.token)
    }

    /// Returns the text of the [`Tokenizer::prefix_token`].
    pub(crate) fn prefix_token_text(&self) -> Option<&str> {
        self.prefix.as_ref().map(|prefix| prefix.text.as_str())
    }

    /// Returns the text of `tokens`, without special tokens.
    ///
    /// # Errors
    /// Fails when the tokenizer's decoder refuses the tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner
            .decode(tokens, true)
            .map_err(|cause| Error::failed(format!("cannot decode tokens: {cause}")))
    }

    /// Returns the text of `tokens`, with special tokens.
    ///
    /// # Errors
    /// Fails when the tokenizer's decoder refuses the tokens.
    pub fn decode_with_special_tokens(&self, tokens: &[u32]) -> Result<String> {
        self.inner
            .decode(tokens, false)
            .map_err(|cause| Error::failed(format!("cannot decode tokens: {cause}")))
    }

    /// Returns a text for one token: its text alone, or its name in the vocabulary if it is a part of a
    /// character. The text is empty if the token is not in the vocabulary.
    pub fn token_text(&self, token: u32) -> String {
        let text = self.inner.decode(&[token], false).unwrap_or_default();
        match text.is_empty() || text.contains(char::REPLACEMENT_CHARACTER) {
            true => self.inner.id_to_token(token).unwrap_or_default(),
            false => text,
        }
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// Returns whether a token stands for a single byte, such as `<0xE6>`. A sequence of such tokens decodes
    /// to text only if all of its bytes together are valid UTF-8.
    pub(crate) fn is_byte(&self, token: u32) -> bool {
        let is_name_of_byte =
            |name: String| name.len() == 6 && name.starts_with("<0x") && name.ends_with('>');
        self.inner.id_to_token(token).is_some_and(is_name_of_byte)
    }

    /// Returns the token that stands for unknown text, or `None` if the tokenizer has no such token.
    pub fn unknown_token(&self) -> Option<u32> {
        let token = match self.inner.get_model() {
            ModelWrapper::WordLevel(model) => Some(model.unk_token.as_str()),
            ModelWrapper::WordPiece(model) => Some(model.unk_token.as_str()),
            ModelWrapper::BPE(model) => model.unk_token.as_deref(),
            ModelWrapper::Unigram(_) => None,
        };
        token.and_then(|token| self.inner.token_to_id(token))
    }

    /// Returns the number of tokens in the vocabulary, including added tokens.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Returns the content of a `tokenizer.json` for this tokenizer.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot be serialized.
    pub fn to_json(&self) -> Result<String> {
        self.inner
            .to_string(true)
            .map_err(|cause| Error::environment(format!("cannot serialize the tokenizer: {cause}")))
    }
}

impl From<tokenizers::Tokenizer> for Tokenizer {
    fn from(mut tokenizer: tokenizers::Tokenizer) -> Self {
        tokenizer.with_truncation(None).expect("truncation can always be switched off");
        tokenizer.with_padding(None);
        let prefix = PrefixToken::added_by(&tokenizer);
        Self { inner: tokenizer, prefix }
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::{PaddingParams, PaddingStrategy, TruncationParams};

    use super::*;

    #[test]
    fn saved_truncation_and_padding_are_switched_off() {
        let text = "the lamp is in the study. where is the lamp?";
        let plain = crate::testing::bundled_tokenizer();
        let mut saved = plain.inner.clone();
        saved.with_truncation(Some(TruncationParams { max_length: 4, ..Default::default() })).unwrap();
        let strategy = PaddingStrategy::Fixed(64);
        saved.with_padding(Some(PaddingParams { strategy, ..Default::default() }));
        assert_eq!(saved.encode(text, true).unwrap().len(), 64);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        saved.save(&path, false).unwrap();
        let read = Tokenizer::read(&path).unwrap();
        assert_eq!(read.encode(text, true).unwrap(), plain.encode(text, true).unwrap());
        assert_eq!(read.to_json().unwrap(), plain.to_json().unwrap());
    }
}
