//! The results folder, which holds the records of cells and the leases of running cells. Processes of several
//! hosts can share the folder.
//!
//! A cell is one unit of cached work. Its [`CellKey`] is a digest of everything that decides its result, and
//! of nothing else. A process holds a [`Claim`] while it works on a cell, and publishes the cell's [`Record`]
//! when the cell ends, unless another process was first. The store runs no cell, and knows a stage only by
//! its name.

mod archive;
mod attempt;
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
mod lease;
mod leases;
mod leftovers;
mod lookup;
mod provenance;
mod record;
mod record_writer;
mod watched_leases;

pub use archive::{NewArchive, RecordArchive};
pub use attempt::AttemptId;
pub use audit::{Audit, DamagedFile};
pub use cell_id::{CellId, CellInputs, StageName};
pub use cell_spec::CellSpec;
pub use cell_state::{CellState, CheckDepth};
pub use claim::Claim;
pub use event_log::{CellEvent, EventKind, EventLog, ProgressReport, read_events};
pub use folders::{CellFolder, ResultsFolder};
pub use key::{CellKey, compute_key};
pub use lease::{Lease, LeaseIntervals, LeaseState};
pub use leftovers::{Leftover, LeftoverKind};
pub use lookup::Lookup;
pub use provenance::Provenance;
pub use record::{Artifact, Outcome, RECORD_FORMAT, Record};
pub use record_writer::NewRecord;
pub use watched_leases::{Heartbeat, ObservedLease};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;

use dtr_core::error::{Error, Result};

use self::leases::Leases;
use self::record::RecordOnDisk;

/// The store of the cells in a results folder, or of the records in an archive.
#[derive(Clone, Debug)]
pub struct Store {
    results: ResultsFolder,
    /// The archive of the records. `None` if each cell has a folder.
    archive: Option<Arc<RecordArchive>>,
    ignores_artifacts: bool,
    leases: Arc<Leases>,
    /// The folders from which this process has removed abandoned temporary files.
    cleaned_shards: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Store {
    /// Opens the store in the folder `results`. Creates nothing.
    ///
    /// # Errors
    /// Fails if `results` is a file.
    pub fn open(results: &Path) -> Result<Self> {
        match results.is_dir() || !results.exists() {
            true => Ok(Self {
                results: ResultsFolder::new(results),
                archive: None,
                ignores_artifacts: false,
                leases: Leases::new(Lease::of_this_process(), LeaseIntervals::default()),
                cleaned_shards: Arc::default(),
            }),
            false => {
                Err(Error::environment(format!("`{}` is a file, not a results folder", results.display())))
            }
        }
    }

    /// Creates the store of the records in `archive`, which is in the folder `results`. The store is
    /// read-only, and its cells have no artifacts.
    pub fn from_archive(results: &Path, archive: RecordArchive) -> Self {
        Self {
            results: ResultsFolder::new(results),
            archive: Some(Arc::new(archive)),
            ignores_artifacts: true,
            leases: Leases::new(Lease::of_this_process(), LeaseIntervals::default()),
            cleaned_shards: Arc::default(),
        }
    }

    /// Returns the store as the process that `lease` names would open it, with other intervals.
    #[cfg(test)]
    fn for_process(&self, lease: Lease, intervals: LeaseIntervals) -> Self {
        Self { leases: Leases::new(lease, intervals), ..self.clone() }
    }

    /// Returns the store with all artifacts ignored: a cell is done even if its artifacts are missing.
    pub fn without_artifacts(self) -> Self {
        Self { ignores_artifacts: true, ..self }
    }

    /// Returns whether the records are in an archive.
    pub fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// Lists all cells that have a record, a lease or a folder, sorted by stage and key.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed.
    pub fn list_cells(&self) -> Result<Vec<CellId>> {
        match &self.archive {
            Some(archive) => Ok(archive.cells().cloned().collect()),
            None => self.results.list_cells(),
        }
    }

    /// Reads the record of a cell.
    fn read_record<T: DeserializeOwned>(&self, cell: &CellId) -> Result<RecordOnDisk<T>> {
        match &self.archive {
            Some(archive) => archive.find(cell),
            None => record::read(&self.cell_folder(cell), cell),
        }
    }

    /// Returns the path of the file that holds the record of a cell.
    pub fn record_path(&self, cell: &CellId) -> PathBuf {
        match &self.archive {
            Some(archive) => archive.path().to_owned(),
            None => self.cell_folder(cell).find_record_path(),
        }
    }

    /// Returns whether the record of a cell is where earlier versions of this program wrote it.
    pub fn has_old_record(&self, cell: &CellId) -> bool {
        !self.is_archive() && self.record_path(cell) == self.cell_folder(cell).old_record_path()
    }

    /// Reads the events of all attempts of a cell, in the order of their times.
    ///
    /// # Errors
    /// Fails if a log cannot be read or is damaged.
    pub fn read_events(&self, cell: &CellId) -> Result<Vec<CellEvent>> {
        let mut events = Vec::new();
        for log in self.cell_folder(cell).list_event_logs()? {
            events.extend(read_events(&log)?);
        }
        // The sort keeps the order of the events of one attempt that have the same time.
        events.sort_by(|one, other| one.at.cmp(&other.at));
        Ok(events)
    }

    /// Returns the paths of the files of a cell, which need not exist.
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
