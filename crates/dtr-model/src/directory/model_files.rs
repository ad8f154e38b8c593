//! Reads the text files of a model from a Hugging Face directory, or makes them from a GGUF file.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::gguf::GgufModel;
use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;

/// The extension of GGUF files.
const GGUF_ENDING: &str = "gguf";

/// The source of a model's text files.
pub(crate) enum ModelFiles {
    /// A Hugging Face directory.
    Directory(PathBuf),
    /// A GGUF file.
    Gguf(GgufModel),
}

impl ModelFiles {
    /// Opens the model at `path`, a directory or a GGUF file.
    ///
    /// # Errors
    /// Fails when a GGUF file is missing, damaged or not supported. Does not check a directory.
    pub fn open(path: &Path) -> Result<Self> {
        match is_gguf(path) {
            true => GgufModel::open(path).map(Self::Gguf),
            false => Ok(Self::Directory(path.to_owned())),
        }
    }

    /// Returns the path to show in an error about the file `name`. For a model in a GGUF file, this is the
    /// path of the GGUF file.
    pub fn path_of(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.join(name),
            Self::Gguf(model) => model.path().to_owned(),
        }
    }

    /// Returns the text of the file `name`, or `None` if the model does not have the file.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or when it cannot be made from the metadata of a GGUF file.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                path.is_file().then(|| read_text_file(&path)).transpose()
            }
            Self::Gguf(model) => model.file_text(name),
        }
    }

    /// Returns the text of the file `name`, which every model must have.
    ///
    /// # Errors
    /// Fails when [`ModelFiles::text`] fails, or when the model does not have the file.
    pub fn required_text(&self, name: &str) -> Result<String> {
        match self.text(name)? {
            Some(text) => Ok(text),
            None => read_text_file(&self.path_of(name)),
        }
    }

    /// Parses the JSON file `name`. Returns `null` if the model does not have the file.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is not JSON.
    pub fn json_or_null(&self, name: &str) -> Result<Value> {
        let Some(text) = self.text(name)? else { return Ok(Value::Null) };
        serde_json::from_str(&text).map_err(|cause| {
            Error::environment(format!("cannot parse `{}` as JSON", self.path_of(name).display()))
                .with_source(cause)
        })
    }
}

/// Returns whether the model at `path` is a GGUF file, not a directory. An existing file counts as a GGUF
/// file, whatever its name. If nothing exists at `path`, the extension decides.
pub(super) fn is_gguf(path: &Path) -> bool {
    !path.is_dir() && (path.is_file() || path.extension().is_some_and(|ending| ending == GGUF_ENDING))
}
