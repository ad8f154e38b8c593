//! The specification of a cell. The cell's key is a digest of the specification.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use dtr_core::error::Result;
use dtr_core::files;

use super::cell_id::{CellId, CellInputs};
use super::folders::CellFolder;
use super::key::compute_key;

/// A cell's specification: its stage, the stage's settings, and its inputs.
///
/// The store keeps the specification in `spec.json` beside the record. This file is small. `dtr plan` can
/// therefore quickly compare a cell with all cells that ran before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellSpec {
    /// The stage and the key of the cell.
    #[serde(flatten)]
    pub id: CellId,
    /// The version of the stage's algorithm.
    pub version: u32,
    /// The settings that decide the result.
    pub spec: Value,
    /// The cells whose results this cell reads, by role.
    pub inputs: CellInputs,
}

impl CellSpec {
    /// Creates the specification of a cell of stage `stage` at `version`, and computes its key.
    ///
    /// # Errors
    /// Fails if `spec` cannot be written as JSON, or holds a number that is not finite.
    pub fn new<S: Serialize>(
        stage: super::StageName,
        version: u32,
        spec: &S,
        inputs: CellInputs,
    ) -> Result<Self> {
        let key = compute_key(&stage, version, spec, &inputs)?;
        let spec = serde_json::to_value(spec).expect("`compute_key` wrote the same spec as JSON");
        Ok(Self { id: CellId { stage, key }, version, spec, inputs })
    }

    /// Returns whether the key is the digest of the other fields.
    pub(super) fn key_matches(&self) -> Result<bool> {
        Ok(compute_key(&self.id.stage, self.version, &self.spec, &self.inputs)? == self.id.key)
    }

    /// Writes `spec.json` into `folder`.
    pub(super) fn write(&self, folder: &CellFolder) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a cell's spec consists of JSON values");
        files::write_bytes_atomically(&folder.spec_path(), format!("{text}\n").as_bytes())
    }

    /// Reads `spec.json` in `folder`. Returns `None` if the file is missing or damaged. No result depends on
    /// this file.
    pub(super) fn read(folder: &CellFolder) -> Option<Self> {
        serde_json::from_str(&files::read_text_file(&folder.spec_path()).ok()?).ok()
    }
}
