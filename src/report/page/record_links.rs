//! Links from the page to the records of cells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::RESULTS;
use crate::report::experiment_records::ExperimentRecords;
use crate::store::{CellId, CellKey, ResultsFolder, StageName};

/// The stage of each cell, by the cell's key. The page shows a key as a link to the record of the cell. The
/// path of the record follows from the stage and the key. If all records are in one archive, keys have no
/// links.
pub(super) struct RecordLinks {
    are_archived: bool,
    /// The keys of cells whose record is where earlier versions of this program wrote it.
    old_keys: BTreeSet<CellKey>,
    stages: BTreeMap<String, StageName>,
}

impl RecordLinks {
    /// Collects the keys of all cells in `records`.
    pub(super) fn new(records: &ExperimentRecords) -> Self {
        let stages = records.cells().map(|cell| (cell.key.to_string(), cell.stage.clone())).collect();
        let (are_archived, old_keys) = (records.are_archived, records.old_record_keys.clone());
        Self { are_archived, old_keys, stages }
    }

    /// Returns whether a cell of the records has this key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.stages.contains_key(key)
    }

    /// Returns the path of the record of the cell with this key, relative to the page. Returns `None` for an
    /// unknown key, and for all keys if the records are in one archive.
    pub(super) fn record_path(&self, key: &str) -> Option<String> {
        let stage = self.stages.get(key).filter(|_| !self.are_archived)?.clone();
        let cell = CellId { stage, key: key.parse().ok()? };
        let folder = ResultsFolder::new(Path::new(RESULTS)).cell_folder(&cell);
        let record = match self.old_keys.contains(&cell.key) {
            true => folder.old_record_path(),
            false => folder.record_path(),
        };
        Some(record.to_string_lossy().into_owned())
    }
}
