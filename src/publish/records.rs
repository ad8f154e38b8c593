//! Collects the records that a report and a verification of an experiment need.

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::answers::ReducedAnswers;
use crate::algorithms::score::ScoreResult;
use crate::plan::Plan;
use crate::stages::search::SearchResult;
use crate::stages::{Cell, SearchJob};
use crate::store::{CellId, Lookup, NewArchive, Store};
use dtr_core::error::Result;

/// Collects the records of the cells of `plan`, the timings of the same cells on other machines, and the
/// scores that searches used. Takes records that `store` lacks from `earlier`, the store of an archive.
///
/// # Errors
/// Fails if a record is damaged or cannot be read.
pub(super) fn collect(plan: &Plan, store: &Store, earlier: Option<&Store>) -> Result<NewArchive> {
    let mut collector = Collector { archive: NewArchive::default(), store, earlier };
    for cell in &plan.cells {
        collector.add_with_references(cell.id())?;
        if cell.job.measures_time() {
            collector.add_timings_of_other_machines(cell)?;
        }
        if let Some(job) = cell.downcast_job::<SearchJob>() {
            collector.add_validation_scores(cell, job)?;
        }
    }
    Ok(collector.archive)
}

struct Collector<'a> {
    archive: NewArchive,
    store: &'a Store,
    earlier: Option<&'a Store>,
}

impl<'a> Collector<'a> {
    /// Returns the store from which the record of `cell` is taken: the first one in which the cell is done, or
    /// else the first one that has a record.
    fn source(&self, cell: &CellId) -> Result<&'a Store> {
        let Some(earlier) = self.earlier else { return Ok(self.store) };
        let find = |store: &Store| store.find::<IgnoredAny>(cell);
        Ok(match (find(self.store)?, find(earlier)?) {
            (Lookup::Done(_), _) | (_, Lookup::Missing) => self.store,
            (_, Lookup::Done(_)) | (Lookup::Missing, _) => earlier,
            _ => self.store,
        })
    }

    /// Adds the complete record of a cell. Returns the cells to which the record refers.
    fn add(&mut self, cell: &CellId) -> Result<Vec<CellId>> {
        let source = self.source(cell)?;
        Ok(self.archive.add(source, cell, |output: Value| output)?.unwrap_or_default())
    }

    /// Adds the record of a cell with its output reduced. The records of an archive are reduced already.
    fn add_reduced<T: DeserializeOwned, U: Serialize + From<T>>(&mut self, cell: &CellId) -> Result<()> {
        let source = self.source(cell)?;
        match source.is_archive() {
            true => self.archive.add(source, cell, |output: Value| output)?,
            false => self.archive.add(source, cell, |output: T| U::from(output))?,
        };
        Ok(())
    }

    /// Adds the complete record of a cell, and the complete records to which it refers.
    fn add_with_references(&mut self, cell: &CellId) -> Result<()> {
        for reference in self.add(cell)? {
            self.add(&reference)?;
        }
        Ok(())
    }

    fn add_timings_of_other_machines(&mut self, cell: &Cell) -> Result<()> {
        for store in std::iter::once(self.store).chain(self.earlier) {
            let recorded = store.recorded_specs(cell.stage())?;
            for other in cell.job.cells_on_other_machines(cell, &recorded)? {
                self.add_with_references(other.id())?;
            }
        }
        Ok(())
    }

    /// Adds the validation scores of a finished search. Adds the complete answers of the base, and the
    /// reduced answers of hybrids. The log-likelihoods and texts of hybrids would take most of the archive's
    /// space.
    fn add_validation_scores(&mut self, cell: &Cell, job: &SearchJob) -> Result<()> {
        let source = self.source(cell.id())?;
        let Some(search) = source.find::<SearchResult>(cell.id())?.done() else { return Ok(()) };
        let scores = job.validation_scores(&cell.labels, &search.outcome)?;
        for (index, (score, _)) in scores.iter().enumerate() {
            match index {
                0 => self.add(score).map(drop)?,
                _ => self.add_reduced::<ScoreResult, ReducedAnswers>(score)?,
            }
        }
        Ok(())
    }
}
