//! The file with which an exported hybrid tells how it completes maps.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::opendrive::{OpendriveTask, RoadFormat};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::files;

/// The name of the file.
const FILE: &str = "road_format.json";

/// How a hybrid that was searched on a task of OpenDRIVE maps writes roads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExportedRoadFormat {
    /// What prompts contain, and the tolerance of the search.
    pub format: RoadFormat,
    /// The maximum number of tokens of the text of a road.
    pub max_tokens: usize,
}

impl ExportedRoadFormat {
    /// Writes the file of `task` into an exported directory.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn write(task: &OpendriveTask, directory: &Path) -> Result<()> {
        let exported = Self { format: task.format, max_tokens: task.max_tokens };
        let text = serde_json::to_string_pretty(&exported).expect("the format is plain JSON") + "\n";
        files::write_bytes_atomically(&directory.join(FILE), text.as_bytes())
    }

    /// Reads the file of an exported directory.
    ///
    /// # Errors
    /// Fails if the directory has no such file, or if the file cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        if !path.exists() {
            return Err(Error::new(
                ErrorKind::Missing,
                format!("cannot complete maps with `{}`: it has no file `{FILE}`", directory.display()),
            )
            .hint("export a hybrid of a search on a task with `source.opendrive`"));
        }
        let bytes = fs::read(&path).map_err(|cause| Error::io("read", &path, cause))?;
        serde_json::from_slice(&bytes).map_err(|cause| {
            Error::manifest(format!("cannot read `{}`: {cause}", path.display())).mark_bad_input()
        })
    }
}
