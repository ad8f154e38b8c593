//! The outline of a cell: what its key was made of, without what became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use dtr_core::error::Result;
use dtr_core::files;

use super::key::{Key, key_of};
use super::layout::CellFolder;
use super::stage::Stage;

/// What a cell does, as `spec.json` tells it; small, so that `plan` can look for the nearest one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellSpec {
    /// The kind of work.
    pub stage: Stage,
    /// The cell's key.
    pub key: Key,
    /// The version of the stage's work.
    pub version: u32,
    /// What is to be done, in full.
    pub spec: Value,
    /// The cells and files that it is done on, by name.
    pub inputs: BTreeMap<String, Key>,
}

impl CellSpec {
    /// Whether the key is that of the rest.
    pub(super) fn key_matches(&self) -> Result<bool> {
        Ok(key_of(self.stage, self.version, &self.spec, &self.inputs)? == self.key)
    }

    pub(super) fn write(&self, folder: &CellFolder) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("an outline holds only JSON and strings");
        files::write_bytes_atomically(&folder.spec(), format!("{text}\n").as_bytes())
    }

    /// The outline in `folder`; `None` when it is missing or damaged, for it is only an aid.
    pub(super) fn read(folder: &CellFolder) -> Option<Self> {
        serde_json::from_str(&files::read_text_file(&folder.spec()).ok()?).ok()
    }
}
