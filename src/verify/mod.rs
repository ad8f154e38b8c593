//! Whether an experiment's results still are what they say: tables made anew from records, and cells done
//! again, both beside the stored ones.
//!
//! Changes nothing: what is made for comparison goes to a temporary folder.

mod again;

use std::fs;
use std::path::{Path, PathBuf};

pub use again::{Again, Sample, do_again};

use crate::plan::Plan;
use crate::report;
use crate::store::{Fault, Store};
use dtr_core::error::{Error, Result};

/// What comparing the tables came to.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Files that were made anew.
    pub num_files: usize,
    /// Stored ones that differ.
    pub faults: Vec<Fault>,
}

/// Makes tables, figures and the page anew from records and compares them, byte for byte, with those in
/// `tables` and `figures`. `command` is what a page names for missing cells.
pub fn compare_tables(
    plan: &Plan,
    store: &Store,
    command: &str,
    tables: &Path,
    figures: &Path,
) -> Result<Compared> {
    let anew = temporary()?;
    let [new_tables, new_figures] = ["tables", "figures"].map(|name| anew.path().join(name));
    let evidence = report::gather(plan, store, command)?;
    let mut compared = Compared::default();
    for path in report::write(&report::ReportData::new(&evidence), &new_tables, &new_figures)? {
        let stored = stored_at(&path, &[(&new_tables, tables), (&new_figures, figures)]);
        compared.num_files += 1;
        if let Some(why) = difference(&path, &stored)? {
            compared.faults.push(Fault { path: stored, why });
        }
    }
    Ok(compared)
}

/// Where the stored counterpart of a new file lies.
fn stored_at(path: &Path, folders: &[(&PathBuf, &Path)]) -> PathBuf {
    let counterpart = |(new, old): &(&PathBuf, &Path)| Some(old.join(path.strip_prefix(new).ok()?));
    folders.iter().find_map(counterpart).expect("a report writes into its two folders")
}

/// What is wrong with a stored file that should be the same as a new one; none when it is.
fn difference(new: &Path, stored: &Path) -> Result<Option<String>> {
    let read = |path: &Path| fs::read(path).map_err(|cause| Error::io("read", path, cause));
    let new = read(new)?;
    Ok(match read(stored) {
        Ok(stored) if stored == new => None,
        Ok(_) => Some("it is not what the records give now".to_owned()),
        Err(error) => Some(error.message_with_sources()),
    })
}

/// A folder for what is made for comparison.
fn temporary() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|cause| Error::io("write in", &std::env::temp_dir(), cause))
}
