//! Writes the model in a GGUF file as a Hugging Face directory.

use std::path::Path;

use super::hybrid_writer::base_tensor_sources;
use super::model_files::ModelFiles;
use super::tensor_copy::write_weights;
use super::{BaseModel, hybrid_writer};
use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder_atomically, write_bytes_atomically};

/// Writes the model in the GGUF file `path` as a Hugging Face directory, atomically: `directory` is complete
/// or does not exist.
///
/// A quantised tensor becomes F32, and tensors in F32, F16 and BF16 keep their dtype. No value changes, so
/// the outputs of the model have the same bits.
///
/// # Errors
/// Fails when `path` is not a GGUF file, when its model is incomplete or not supported, or when `directory`
/// is not empty.
pub fn convert_gguf(path: &Path, directory: &Path) -> Result<()> {
    let files = ModelFiles::open(path)?;
    if let ModelFiles::Directory(folder) = &files {
        return Err(Error::manifest(format!("`{}` is not a GGUF file", folder.display())));
    }
    BaseModel::check_weights(path)?;
    BaseModel::read_tokenizer(path)?;
    let tensors = base_tensor_sources(&files)?;
    create_folder_atomically(directory, |folder| {
        write_weights(folder, tensors, hybrid_writer::MAX_SHARD_BYTES)?;
        for name in BaseModel::REQUIRED_FILES.into_iter().chain(BaseModel::OPTIONAL_FILES) {
            if let Some(text) = files.text(name)? {
                write_bytes_atomically(&folder.join(name), text.as_bytes())?;
            }
        }
        Ok(())
    })
}
