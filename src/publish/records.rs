//! Collects the records that a report and a verification of an experiment need.

use serde_json::Value;

use super::answers::ReducedAnswers;
use crate::algorithms::score::ScoreResult;
use crate::plan::Plan;
use crate::stages::search::SearchResult;
use crate::stages::{Cell, SearchJob};
use crate::store::{CellId, NewArchive, Store};
use dtr_core::error::Result;

/// Collects the records of the cells of `plan`, the timings of the same cells on other machines, and the
/// scores that searches used.
///
/// # Errors
/// Fails if a record is damaged or cannot be read.
pub(super) fn collect(plan: &Plan, store: &Store) -> Result<NewArchive> {
    let mut archive = NewArchive::default();
    for cell in &plan.cells {
        add_with_references(&mut archive, store, cell.id())?;
        if cell.job.measures_time() {
            let recorded = store.recorded_specs(cell.stage())?;
            for other in cell.job.cells_on_other_machines(cell, &recorded)? {
                add_with_references(&mut archive, store, other.id())?;
            }
        }
        if let Some(job) = cell.downcast_job::<SearchJob>() {
            add_validation_scores(&mut archive, store, cell, job)?;
        }
    }
    Ok(archive)
}

/// Adds the complete record of a cell, and the complete records to which it refers.
fn add_with_references(archive: &mut NewArchive, store: &Store, cell: &CellId) -> Result<()> {
    for reference in archive.add(store, cell, |output: Value| output)?.unwrap_or_default() {
        archive.add(store, &reference, |output: Value| output)?;
    }
    Ok(())
}

/// Adds the validation scores of a finished search. Adds the complete answers of the base, and the reduced
/// answers of hybrids. The log-likelihoods and texts of hybrids would take most of the archive's space.
fn add_validation_scores(
    archive: &mut NewArchive,
    store: &Store,
    cell: &Cell,
    job: &SearchJob,
) -> Result<()> {
    let Some(search) = store.find::<SearchResult>(cell.id())?.done() else { return Ok(()) };
    let scores = job.validation_scores(&cell.labels, &search.outcome)?;
    for (index, (score, _)) in scores.iter().enumerate() {
        match index {
            0 => archive.add(store, score, |output: Value| output)?,
            _ => archive.add(store, score, |output: ScoreResult| ReducedAnswers::from(output))?,
        };
    }
    Ok(())
}
