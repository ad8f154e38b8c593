//! The results folder, which holds the records of cells and the locks of running cells.
//!
//! A cell is one unit of cached work. Its [`Key`] is a digest of everything that decides its result, and of
//! nothing else. A process holds a [`Claim`] while it works on a cell, and writes the cell's [`Record`]
//! atomically when the cell ends. The store runs no cell, and knows a stage only by its name.

mod audit;
mod cell_id;
mod cell_spec;
mod cell_state;
mod checksum;
mod claim;
mod event_log;
mod finite;
mod folders;
mod key;
mod lookup;
mod provenance;
mod prune;
mod record;
mod record_writer;

pub use audit::{Audit, DamagedFile};
pub use cell_id::{CellId, CellInputs, StageName};
pub use cell_spec::CellSpec;
pub use cell_state::{CellState, CheckDepth};
pub use claim::Claim;
pub use event_log::{Event, EventKind, EventLog, read_events};
pub use folders::{CellFolder, ResultsFolder};
pub use key::{Key, compute_key};
pub use lookup::Lookup;
pub use provenance::Provenance;
pub use prune::{Leftover, LeftoverKind};
pub use record::{Artifact, Outcome, RECORD_FORMAT, Record};
pub use record_writer::NewRecord;

use std::path::Path;

use dtr_core::error::{Error, Result};

/// The store of the cells in a results folder.
#[derive(Clone, Debug)]
pub struct Store {
    results: ResultsFolder,
}

impl Store {
    /// Opens the store in the folder `results`. Creates nothing.
    ///
    /// # Errors
    /// Fails if `results` is a file.
    pub fn open(results: &Path) -> Result<Self> {
        match results.is_dir() || !results.exists() {
            true => Ok(Self { results: ResultsFolder::new(results) }),
            false => {
                Err(Error::environment(format!("`{}` is a file, not a results folder", results.display())))
            }
        }
    }

    /// Returns the folder of a cell, which need not exist.
    pub fn cell_folder(&self, cell: &CellId) -> CellFolder {
        self.results.cell_folder(cell)
    }

    /// Returns the results folder.
    pub fn results_folder(&self) -> &ResultsFolder {
        &self.results
    }
}

/// Returns the current time in UTC, to the second, as RFC 3339.
fn now() -> String {
    let second = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(second).expect("the current time is out of range").to_string()
}

/// Returns the current time in UTC, to the millisecond, as RFC 3339.
fn now_in_milliseconds() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod test_store;
