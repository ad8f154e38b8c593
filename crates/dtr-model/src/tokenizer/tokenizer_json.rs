//! The settings of a `tokenizer.json`, without its vocabulary.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;

/// The settings in a `tokenizer.json` that can be checked without loading the tokenizer.
#[derive(Deserialize)]
pub(crate) struct TokenizerJsonSettings {
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    #[serde(default)]
    pub post_processor: Value,
    #[serde(default)]
    pub added_tokens: Vec<Value>,
}

impl TokenizerJsonSettings {
    /// Reads the `tokenizer.json` of `directory`.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is not JSON.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("tokenizer.json");
        serde_json::from_str(&read_text_file(&path)?).map_err(|cause| {
            Error::environment(format!("`{}` is not a tokenizer", path.display())).with_source(cause)
        })
    }

    /// Returns whether the file sets truncation or padding. The program that saved a tokenizer may have left
    /// such settings in the file.
    pub fn has_truncation_or_padding(&self) -> bool {
        !self.truncation.is_null() || !self.padding.is_null()
    }
}
