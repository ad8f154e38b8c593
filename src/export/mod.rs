//! Exports a hybrid that a search selected, as a Hugging Face directory with a model card.
//!
//! An export reads stored results. It does not start the search.

mod model_card;
mod selector;

use std::path::Path;

pub use selector::{HybridSelector, SearchSelector};

use crate::plan::Plan;
use crate::stages::search::{ChosenHybrid, SearchResult};
use crate::stages::{Cell, SearchJob, twins_file, verified_base_path};
use crate::store::{Lookup, Record, Store};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_model::{HybridWriter, Mask};

/// A finished search, and the hybrid of this search that is exported.
struct ExportedHybrid<'a> {
    cell: &'a Cell,
    job: &'a SearchJob,
    result: &'a SearchResult,
    selected: HybridSelector,
    chosen: &'a ChosenHybrid,
}

/// Writes the selected hybrid to `directory`. Returns the layers that the hybrid replaces.
///
/// If the search is not done, the error's hint tells the user to run `sweep_command`.
///
/// # Errors
/// Fails if the selector matches no search or several, if the search is not done, or if files are missing or
/// damaged.
pub fn export_hybrid(
    plan: &Plan,
    store: &Store,
    selector: &SearchSelector,
    directory: &Path,
    sweep_command: &str,
) -> Result<Vec<u32>> {
    let (cell, job) = selector.find_search(plan)?;
    let record = find_search_record(store, cell, sweep_command)?;
    let result = &record.outcome;
    let chosen = selector.hybrid.find(result);
    let hybrid = ExportedHybrid { cell, job, result, selected: selector.hybrid, chosen };
    let mask: Mask = chosen.layers.iter().copied().collect();
    let (base, twins) = (verified_base_path(store, &job.base)?, twins_file(store, &job.twins)?);
    let card = model_card::model_card(&hybrid);
    HybridWriter { base: &base, twins: (&twins, &job.variant), mask: &mask, model_card: card }
        .write(directory)?;
    Ok(chosen.layers.clone())
}

/// Returns the record of a search. If the search is not done, the error's hint names `sweep_command`.
fn find_search_record(store: &Store, cell: &Cell, sweep_command: &str) -> Result<Record<SearchResult>> {
    match store.find(cell.id())? {
        Lookup::Done(record) => Ok(record),
        Lookup::Failed(record) => {
            Err(Error::failed(format!("`{}` failed: {}", cell.to_line(), record.outcome))
                .hint(format!("run `dtr show {}` for details", cell.key().short())))
        }
        Lookup::Missing | Lookup::Corrupt { .. } => {
            Err(Error::new(ErrorKind::Missing, format!("`{}` is not done", cell.to_line()))
                .hint(format!("run `{sweep_command}`")))
        }
    }
}
