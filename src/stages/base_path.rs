//! Finds the local path of a base.

use std::path::{Path, PathBuf};

use crate::hub;
use crate::manifest::ModelSource;
use dtr_core::error::{Error, Result};
use dtr_model::BaseModel;

/// Returns the path of a base's directory or GGUF file. If the base is on the hub, the path exists only after
/// the download. Returns `None` for a base that a cell trains or that has no weights.
///
/// # Errors
/// Fails if `path` in the manifest names a file, if `gguf` names a directory or a missing file, or if the hub
/// does not know a revision.
pub fn base_path(source: &ModelSource) -> Result<Option<PathBuf>> {
    match source {
        ModelSource::Path(path) if Path::new(path).is_file() => {
            Err(Error::manifest(format!("`{path}` is a file, but `path` must name a directory"))
                .hint("if it is a GGUF file, write `gguf` in place of `path`"))
        }
        ModelSource::Gguf(path) if !BaseModel::is_gguf(Path::new(path)) => {
            let problem = match Path::new(path).is_dir() {
                true => "it is a directory",
                false => "there is no such file",
            };
            Err(Error::manifest(format!("cannot read `{path}` as GGUF: {problem}"))
                .hint("for a Hugging Face directory, write `path` in place of `gguf`"))
        }
        ModelSource::Path(path) | ModelSource::Gguf(path) => Ok(Some(PathBuf::from(path))),
        ModelSource::Hub(model) => {
            let folder =
                hub::default_hub().snapshot_folder(&hub::default_hub().pin_if_reachable(&model.into())?);
            Ok(Some(match &model.file {
                Some(file) => folder.join(file),
                None => folder,
            }))
        }
        ModelSource::Pretrain(_) | ModelSource::Shape(_) | ModelSource::Finetuned(_) => Ok(None),
    }
}
