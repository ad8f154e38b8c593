//! Writes a hybrid as a GGUF file.

use std::path::Path;

use serde_json::Value;

use super::model_files::ModelFiles;
use super::portable_writer::share_head;
use super::{BaseModel, HybridWriter, TensorSource, read_eos_token_ids};
use crate::Tokenizer;
use crate::gguf::{TokenizerFiles, write_gguf_file};
use crate::portable::{HybridTensors, qwen3_5_gguf};
use dtr_core::error::{Error, Result};

impl HybridWriter<'_> {
    /// Writes the hybrid to the GGUF file `path`, atomically.
    ///
    /// # Errors
    /// Fails when the file exists, the format cannot express the hybrid or its tokenizer, or a file of the
    /// hybrid is missing or damaged.
    pub(super) fn write_gguf(&self, files: &ModelFiles, path: &Path) -> Result<()> {
        if path.exists() {
            return Err(Error::environment(format!("`{}` already exists", path.display()))
                .hint("choose another file"));
        }
        let config = self.portable_config()?;
        let mut tensors = self.tensors(files)?;
        share_head(&mut tensors, &config);
        let hybrid = HybridTensors::new(&config, self.twins.1, self.mask, tensors);
        let tensors = qwen3_5_gguf::tensors(&hybrid)?;
        let tensors: Vec<TensorSource> = tensors.into_iter().map(|tensor| self.cast(tensor)).collect();
        let mut metadata = qwen3_5_gguf::metadata(&hybrid, tensors[0].dtype());
        metadata.extend(self.tokenizer_files(files, config.vocab_size)?.metadata().map_err(|problem| {
            let tokenizer = files.path_of("tokenizer.json");
            Error::manifest(format!(
                "`gguf` cannot express the tokenizer: `{}` {problem}",
                tokenizer.display()
            ))
        })?);
        write_gguf_file(path, &metadata, &tensors)
    }

    fn tokenizer_files(&self, files: &ModelFiles, vocab_size: usize) -> Result<TokenizerFiles> {
        let config = files.json_or_null("tokenizer_config.json")?;
        let template = match files.text("chat_template.jinja")? {
            Some(template) => Some(template),
            None => config["chat_template"].as_str().map(str::to_owned),
        };
        let text = files.required_text("tokenizer.json")?;
        let tokenizer: Value = serde_json::from_str(&text).map_err(|cause| {
            let path = files.path_of("tokenizer.json");
            Error::environment(format!("cannot parse `{}` as JSON", path.display())).with_source(cause)
        })?;
        Ok(TokenizerFiles {
            tokenizer,
            chat_template: template,
            bos_token_id: added_bos(&BaseModel::read_tokenizer(self.base)?)?,
            eos_token_ids: read_eos_token_ids(self.base)?,
            vocab_size,
        })
    }
}

/// Returns the token that the tokenizer adds before every text, if there is one.
///
/// # Errors
/// Fails when the tokenizer adds other tokens, because a GGUF file cannot express them.
fn added_bos(tokenizer: &Tokenizer) -> Result<Option<u32>> {
    let (plain, whole) = (tokenizer.encode("a", false)?, tokenizer.encode("a", true)?);
    match whole.strip_suffix(plain.as_slice()) {
        Some([]) => Ok(None),
        Some([bos]) => Ok(Some(*bos)),
        _ => Err(Error::manifest(
            "`gguf` cannot express the tokenizer: it adds other tokens than one at the beginning of a text",
        )),
    }
}
