//! Verifies stored results. One check rebuilds tables and figures from records, and compares them with the
//! stored files. The other check recomputes cells, and compares the results with the stored records. A cell
//! is one computation of an experiment, such as a distillation or a search.
//!
//! Verification does not change the results folder.

mod recompute;

use std::fs;
use std::path::{Path, PathBuf};

pub use recompute::{RecomputeSample, RecomputedCells, recompute_cells};

use crate::plan::Plan;
use crate::report;
use crate::store::{DamagedFile, Store};
use dtr_core::error::{Error, Result};

/// The result of a comparison of an experiment's stored tables, figures and report page with rebuilt files.
#[derive(Clone, Debug, Default)]
pub struct ReportComparison {
    /// Number of rebuilt files.
    pub num_files: usize,
    /// Stored files that are missing or differ from the rebuilt files.
    pub faults: Vec<DamagedFile>,
}

/// Rebuilds tables, figures and the report page from records. Compares the rebuilt files byte for byte with
/// the stored files in the folders `tables` and `figures`.
///
/// `command` is the command line that computes missing cells. The report page shows this command line.
///
/// # Errors
/// Fails if a record cannot be read, or if a temporary file cannot be written.
pub fn compare_rebuilt_report(
    plan: &Plan,
    store: &Store,
    command: &str,
    tables: &Path,
    figures: &Path,
) -> Result<ReportComparison> {
    let folder = temporary_folder()?;
    let [new_tables, new_figures] = ["tables", "figures"].map(|name| folder.path().join(name));
    let records = report::ExperimentRecords::read(plan, store, command)?;
    let mut comparison = ReportComparison::default();
    for path in report::write_report_files(&report::ReportData::new(&records), &new_tables, &new_figures)? {
        let stored = stored_path(&path, &[(&new_tables, tables), (&new_figures, figures)]);
        comparison.num_files += 1;
        if let Some(reason) = difference(&path, &stored)? {
            comparison.faults.push(DamagedFile { path: stored, reason });
        }
    }
    Ok(comparison)
}

/// Returns the path of the stored file that corresponds to a rebuilt file.
fn stored_path(path: &Path, folders: &[(&PathBuf, &Path)]) -> PathBuf {
    let stored = |(new, old): &(&PathBuf, &Path)| Some(old.join(path.strip_prefix(new).ok()?));
    folders.iter().find_map(stored).expect("the report wrote a file outside its two folders")
}

/// Describes how a stored file differs from the rebuilt file. Returns `None` if the files are equal.
fn difference(new: &Path, stored: &Path) -> Result<Option<String>> {
    let read = |path: &Path| fs::read(path).map_err(|cause| Error::io("read", path, cause));
    let new = read(new)?;
    Ok(match read(stored) {
        Ok(stored) if stored == new => None,
        Ok(_) => Some("it differs from the file that is rebuilt from the records".to_owned()),
        Err(error) => Some(error.message_with_sources()),
    })
}

fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|cause| Error::io("write in", &std::env::temp_dir(), cause))
}
