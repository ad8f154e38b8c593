//! Verification of stored results: tables are rebuilt from records and cells are recomputed, and both are
//! compared with the stored files.
//!
//! Verification does not change the results folder.

mod recompute;

use std::fs;
use std::path::{Path, PathBuf};

pub use recompute::{CellSample, RecomputedCells, recompute_cells};

use crate::plan::Plan;
use crate::report;
use crate::store::{DamagedFile, Store};
use dtr_core::error::{Error, Result};

/// Result of rebuilding the tables, figures and the page.
#[derive(Clone, Debug, Default)]
pub struct RebuiltTables {
    /// Number of rebuilt files.
    pub num_files: usize,
    /// Stored files that differ.
    pub faults: Vec<DamagedFile>,
}

/// Rebuilds tables, figures and the page from records and compares them, byte for byte, with those in the
/// folders `tables` and `figures`.
///
/// `command` computes missing cells and is part of the page.
///
/// # Errors
/// Errors of the file system, and records that cannot be read.
pub fn rebuild_tables(
    plan: &Plan,
    store: &Store,
    command: &str,
    tables: &Path,
    figures: &Path,
) -> Result<RebuiltTables> {
    let folder = temporary_folder()?;
    let [new_tables, new_figures] = ["tables", "figures"].map(|name| folder.path().join(name));
    let records = report::ExperimentRecords::read(plan, store, command)?;
    let mut rebuilt = RebuiltTables::default();
    for path in report::write(&report::ReportData::new(&records), &new_tables, &new_figures)? {
        let stored = stored_path(&path, &[(&new_tables, tables), (&new_figures, figures)]);
        rebuilt.num_files += 1;
        if let Some(reason) = difference(&path, &stored)? {
            rebuilt.faults.push(DamagedFile { path: stored, reason });
        }
    }
    Ok(rebuilt)
}

/// Returns the path of the stored file that corresponds to a rebuilt one.
fn stored_path(path: &Path, folders: &[(&PathBuf, &Path)]) -> PathBuf {
    let stored = |(new, old): &(&PathBuf, &Path)| Some(old.join(path.strip_prefix(new).ok()?));
    folders.iter().find_map(stored).expect("a report writes into its two folders")
}

/// Describes how a stored file differs from the rebuilt one. Returns `None` if it does not differ.
fn difference(new: &Path, stored: &Path) -> Result<Option<String>> {
    let read = |path: &Path| fs::read(path).map_err(|cause| Error::io("read", path, cause));
    let new = read(new)?;
    Ok(match read(stored) {
        Ok(stored) if stored == new => None,
        Ok(_) => Some("differs from the file that the records give".to_owned()),
        Err(error) => Some(error.message_with_sources()),
    })
}

/// Creates a temporary folder.
fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|cause| Error::io("write in", &std::env::temp_dir(), cause))
}
