//! Detects the model directories that earlier versions of dtr read differently from this version. dtr must
//! not reuse results that an earlier version stored for such a model. Therefore the reader's version becomes
//! a part of the keys under which results are stored.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Map, Value};

use super::BaseModel;
use super::model_files::is_gguf;
use super::model_weights::open_model_weights;
use crate::DecoderConfig;
use crate::tokenizer::TokenizerJsonSettings;
use dtr_core::error::Result;
use dtr_core::files::read_text_file;

/// The current version of dtr's reader of model directories.
const READER_VERSION: u32 = 2;

/// Returns [`READER_VERSION`] if earlier versions of dtr read `directory` differently, and `None` otherwise.
/// For a GGUF file, returns `None`.
///
/// # Errors
/// Fails when a file cannot be read, or when the model is not supported.
pub(super) fn reader_version(directory: &Path) -> Result<Option<u32>> {
    if is_gguf(directory) {
        return Ok(None);
    }
    let config = BaseModel::read_config(directory)?;
    let text = read_text_file(&directory.join("config.json"))?;
    let fields: Map<String, Value> = serde_json::from_str(&text).expect("the configuration was parsed above");
    let has = |key: &str| fields.get(key).is_some_and(|value| !value.is_null());
    let is_read_differently = TokenizerJsonSettings::read(directory)?.has_truncation_or_padding()
        || has("rope_scaling") && has("rope_parameters")
        || has("original_max_position_embeddings")
        || has_untied_head(directory, config)?;
    Ok(is_read_differently.then_some(READER_VERSION))
}

/// Returns whether the weights contradict `config`: `config` ties the output head to the embedding, but the
/// two weights differ.
fn has_untied_head(directory: &Path, mut config: DecoderConfig) -> Result<bool> {
    if !config.tied_head {
        return Ok(false);
    }
    open_model_weights(directory, &mut config, &Device::flex())?;
    Ok(!config.tied_head)
}
