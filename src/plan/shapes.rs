//! The shapes of bases, as far as they are known before anything is downloaded or trained.

use crate::data::base_tokenizer;
use std::path::Path;

use crate::hub;
use crate::manifest::{Manifest, ModelSource};
use dtr_core::error::Result;
use dtr_core::files::read_text_file;
use dtr_model::{BaseModel, DecoderConfig};

/// The shape of a base; none where only the hub has it.
///
/// # Errors
/// When a configuration on disk cannot be read.
pub(super) fn shape(manifest: &Manifest, model: &str) -> Result<Option<DecoderConfig>> {
    Ok(match &manifest.models[model].source {
        ModelSource::Path(path) => Some(BaseModel::read_config(Path::new(path))?),
        ModelSource::Shape(path) => {
            Some(DecoderConfig::parse(&read_text_file(Path::new(path))?, Path::new(path))?)
        }
        ModelSource::Pretrain(architecture) => {
            let words = base_tokenizer(architecture)?.vocab_size();
            Some(architecture.llama_config(words, manifest.pretrain.sequence_length))
        }
        ModelSource::Hub(source) => {
            let folder =
                hub::default_hub().snapshot_folder(&hub::default_hub().pin_if_reachable(&source.into())?);
            match (&source.config, folder.join("config.json").is_file()) {
                (_, true) => Some(BaseModel::read_config(&folder)?),
                (Some(copy), false) => {
                    Some(DecoderConfig::parse(&read_text_file(Path::new(copy))?, Path::new(copy))?)
                }
                (None, false) => None,
            }
        }
    })
}
