//! Directories that earlier versions of dtr read otherwise than this one. The keys of their cells differ, so
//! that no result of an earlier reading is taken for a result of this one.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Map, Value};

use super::BaseModel;
use super::model_weights::open_model_weights;
use crate::DecoderConfig;
use crate::tokenizer::TokenizerSettings;
use dtr_core::error::Result;
use dtr_core::files::read_text_file;

/// The way in which this version reads such a directory.
const READING: u32 = 2;

/// Returns the version of the reading of `directory`, or `None` if every version reads it alike.
///
/// # Errors
/// Fails when a file cannot be read, or `config.json` is refused.
pub(super) fn reading(directory: &Path) -> Result<Option<u32>> {
    let config = BaseModel::read_config(directory)?;
    let text = read_text_file(&directory.join("config.json"))?;
    let fields: Map<String, Value> = serde_json::from_str(&text).expect("the configuration was parsed above");
    let has = |key: &str| fields.get(key).is_some_and(|value| !value.is_null());
    let is_otherwise = TokenizerSettings::read(directory)?.has_saved_limits()
        || has("rope_scaling") && has("rope_parameters")
        || has("original_max_position_embeddings")
        || has_untied_head(directory, config)?;
    Ok(is_otherwise.then_some(READING))
}

/// Returns whether the weights hold a head that `config` ties, and that differs from the embedding.
fn has_untied_head(directory: &Path, mut config: DecoderConfig) -> Result<bool> {
    if !config.tied_head {
        return Ok(false);
    }
    open_model_weights(directory, &mut config, &Device::flex())?;
    Ok(!config.tied_head)
}
