//! Writes a base with other values of its parameters as a Hugging Face directory.

use std::path::Path;

use super::hybrid_writer::{MAX_SHARD_BYTES, base_tensor_sources, replace_tensors};
use super::model_files::ModelFiles;
use super::tensor_copy::write_weights;
use super::weight_files::{INDEX_FILE, weight_files};
use super::{BaseModel, TensorSource};
use dtr_core::error::Result;
use dtr_core::files::write_bytes_atomically;

/// Writes the base at `base`, a directory or a GGUF file, to the existing folder `directory`. The parameters in
/// the safetensors file `tuned` take the place of the base's parameters. They keep their dtypes.
///
/// Returns the names of the written files.
///
/// # Errors
/// Fails if a file cannot be read or written, or if the base has no parameter of a name in `tuned`.
pub fn write_finetuned_base(base: &Path, tuned: &Path, directory: &Path) -> Result<Vec<String>> {
    let files = ModelFiles::open(base)?;
    let mut tensors = base_tensor_sources(&files)?;
    replace_tensors(&mut tensors, TensorSource::list(tuned)?)?;
    write_weights(directory, tensors, MAX_SHARD_BYTES)?;
    let mut names: Vec<String> = Vec::new();
    for path in weight_files(directory)? {
        names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    names.extend(directory.join(INDEX_FILE).is_file().then(|| INDEX_FILE.to_owned()));
    for name in BaseModel::REQUIRED_FILES.into_iter().chain(BaseModel::OPTIONAL_FILES) {
        if let Some(text) = files.text(name)? {
            write_bytes_atomically(&directory.join(name), text.as_bytes())?;
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
