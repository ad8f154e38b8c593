//! The summary of a run: the number of computed cells, and the cells that have no result after the run.

use serde::Serialize;

use crate::stages::Cell;
use crate::store::CellKey;

/// A cell that has no result after a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnfinishedCell {
    /// Stage and labels of the cell.
    pub cell: String,
    /// The cell's key.
    pub key: CellKey,
    /// The reason why the cell has no result.
    pub reason: String,
}

impl UnfinishedCell {
    /// Creates the entry for `cell`. `reason` says why the cell has no result.
    pub(super) fn new(cell: &Cell, reason: String) -> Self {
        Self { cell: cell.to_line(), key: cell.key(), reason }
    }
}

/// The number of cells that a run computed, and the cells that have no result after the run.
#[derive(Debug, Default)]
pub struct RunSummary {
    /// Number of cells that were done before the run, or that another process computed during the run.
    pub cached: usize,
    /// Number of cells that this run computed.
    pub done: usize,
    /// Cells that failed in this run, or that failed in an earlier run and were not run again.
    pub failed: Vec<UnfinishedCell>,
    /// Cells that did not run because an input has no result.
    pub blocked: Vec<UnfinishedCell>,
    /// Number of cells that did not run because an earlier failure ended the run.
    pub skipped: usize,
}
