//! Exports a hybrid of a search as a Hugging Face directory with a model card. If the hybrid was trained
//! after the search, either the untrained or the trained hybrid can be exported.
//!
//! An export reads stored results and runs no cell.

mod model_card;
mod selector;
mod trained_hybrid;
mod tuned_model_card;

use std::path::Path;

use serde::de::DeserializeOwned;

pub use selector::{HybridSelector, SearchSelector};
use trained_hybrid::TrainedHybrid;
pub use trained_hybrid::TrainingKind;

use crate::plan::Plan;
use crate::stages::search::{ChosenHybrid, SearchResult};
use crate::stages::{Cell, SearchJob, tuned_file, twins_file, verified_base_path};
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
/// Fails if the selector matches no search or several searches, if the search is not done, or if files are
/// missing or damaged.
pub fn export_hybrid(
    plan: &Plan,
    store: &Store,
    selector: &SearchSelector,
    directory: &Path,
    sweep_command: &str,
) -> Result<Vec<u32>> {
    if let Some(hybrid) = &selector.tuned {
        let hybrid = selector.find_trained_hybrid(plan, hybrid)?;
        return export_trained_hybrid(store, hybrid, directory, sweep_command);
    }
    let (cell, job) = selector.find_search(plan)?;
    let record: Record<SearchResult> = find_record(store, cell, sweep_command)?;
    let result = &record.outcome;
    let chosen = selector.hybrid.find(result);
    let hybrid = ExportedHybrid { cell, job, result, selected: selector.hybrid, chosen };
    let mask: Mask = chosen.layers.iter().copied().collect();
    let (base, twins) = (verified_base_path(store, &job.base)?, twins_file(store, &job.twins)?);
    let model_card = model_card::model_card(&hybrid);
    HybridWriter { base: &base, twins: (&twins, &job.variant), mask: &mask, tuned: None, model_card }
        .write(directory)?;
    Ok(chosen.layers.clone())
}

/// Writes to `directory` a hybrid that was trained after its search. Returns the layers that the hybrid
/// replaces.
fn export_trained_hybrid(
    store: &Store,
    hybrid: TrainedHybrid<'_>,
    directory: &Path,
    sweep_command: &str,
) -> Result<Vec<u32>> {
    let scores = hybrid.read_scores(store, sweep_command)?;
    let search = hybrid.search();
    let mask: Mask = scores.layers.iter().copied().collect();
    let (base, twins) = (verified_base_path(store, &search.base)?, twins_file(store, &search.twins)?);
    let tuned = tuned_file(store, hybrid.training_cell())?;
    let model_card = tuned_model_card::tuned_model_card(&hybrid, &scores);
    let twins = (twins.as_path(), &search.variant);
    HybridWriter { base: &base, twins, mask: &mask, tuned: Some(&tuned), model_card }.write(directory)?;
    Ok(scores.layers)
}

/// Returns the record of a cell. If the cell is not done, the error's hint names `sweep_command`.
fn find_record<T: DeserializeOwned>(store: &Store, cell: &Cell, sweep_command: &str) -> Result<Record<T>> {
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
