//! The summary of a run: the cells that it did, and the cells that it left without a result.

use serde::Serialize;

use crate::stages::Cell;
use crate::store::Key;

/// A cell that has no result after a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnfinishedCell {
    /// Stage and labels of the cell.
    pub cell: String,
    /// The cell's key.
    pub key: Key,
    /// The reason why the cell has no result.
    pub reason: String,
}

impl UnfinishedCell {
    /// Creates the entry of `cell`, which has no result for `reason`.
    pub(super) fn new(cell: &Cell, reason: String) -> Self {
        Self { cell: cell.to_line(), key: cell.key(), reason }
    }
}

/// The number of cells that a run did, and the cells that have no result.
#[derive(Debug, Default)]
pub struct RunSummary {
    /// Number of cells that were done before the run, or that another process did during the run.
    pub cached: usize,
    /// Number of cells that this run did.
    pub done: usize,
    /// Cells that failed in this run, or that failed in an earlier run and were not run again.
    pub failed: Vec<UnfinishedCell>,
    /// Cells that did not run because an input has no result.
    pub blocked: Vec<UnfinishedCell>,
    /// Number of cells that did not run because an earlier failure ended the run.
    pub skipped: usize,
}
