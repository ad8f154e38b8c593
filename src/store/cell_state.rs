//! Checks whether the result of a cell can be used.
//!
//! A valid record alone is not enough. The result of a training also needs its artifacts, and the result of a
//! search also needs the score cells that its record refers to.

use serde_json::Value;

use dtr_core::error::Result;

use super::Store;
use super::cell_id::CellId;
use super::lookup::Lookup;
use super::record::Record;

/// The depth of the check of a cell's artifacts. Each check verifies the record completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckDepth {
    /// Compares only the length of each artifact with the record. `Store::find` always makes this comparison.
    Quick,
    /// Compares the length and the digest of each artifact with the record. This check reads each artifact
    /// completely.
    Full,
}

/// The state of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellState {
    /// The cell has a result.
    Done,
    /// The cell failed with this error.
    Failed(String),
    /// The cell ended, but a file or cell that its result needs is damaged or missing. Holds the reason.
    Damaged(String),
    /// The cell has no record.
    Missing,
}

impl Store {
    /// Returns the state of a cell.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if a record is of a newer format.
    pub fn cell_state(&self, cell: &CellId, depth: CheckDepth) -> Result<CellState> {
        Ok(match self.find::<Value>(cell)? {
            Lookup::Missing => CellState::Missing,
            Lookup::Failed(record) => CellState::Failed(record.outcome),
            Lookup::Corrupt { path, reason } => {
                CellState::Damaged(format!("`{}` is damaged: {reason}", path.display()))
            }
            Lookup::Done(record) => match self.damage(&record, depth)? {
                Some(reason) => CellState::Damaged(reason),
                None => CellState::Done,
            },
        })
    }

    /// Returns the reason why the result of a valid record cannot be used. Returns `None` if the result can
    /// be used.
    fn damage(&self, record: &Record<Value>, depth: CheckDepth) -> Result<Option<String>> {
        for cell in &record.references {
            if !matches!(self.find::<Value>(cell)?, Lookup::Done(_)) {
                return Ok(Some(format!("its record refers to {cell}, which is missing or damaged")));
            }
        }
        let mut names =
            record.artifacts.keys().filter(|_| depth == CheckDepth::Full && !self.ignores_artifacts);
        Ok(names
            .find_map(|name| self.verify_artifact(record, name).err())
            .map(|error| error.message_with_sources()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record_writer::NewRecord;
    use super::super::test_store::{TestStore, cell, new_record};
    use super::*;

    #[test]
    fn a_result_is_damaged_once_a_cell_that_it_refers_to_is_missing() {
        let test = TestStore::new();
        let new = NewRecord { references: vec![cell("score")], ..new_record("search") };
        test.claim("search").unwrap().finish(new, 0.5).unwrap();
        let state = || test.store.cell_state(&cell("search"), CheckDepth::Quick).unwrap();
        assert!(matches!(state(), CellState::Damaged(reason) if reason.contains("refers to score cell")));
        test.finish("score", 0.25);
        assert_eq!(state(), CellState::Done);
    }
}
