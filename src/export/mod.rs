//! Exports a hybrid of a search as a Hugging Face directory with a model card, or as a GGUF file. If the
//! hybrid was trained after the search, either the untrained or the trained hybrid can be exported.
//!
//! An export reads stored results and runs no cell.

mod format;
mod model_card;
mod road_format;
mod selector;
mod trained_hybrid;
mod tuned_model_card;
mod usage;

use std::path::Path;

use serde::de::DeserializeOwned;

pub use format::{ExportDtype, ExportFormat};
pub use road_format::ExportedRoadFormat;
pub use selector::{HybridSelector, SearchSelector};
pub use trained_hybrid::TrainingKind;

use crate::data::TaskSource;
use crate::plan::Plan;
use crate::stages::search::{ChosenHybrid, SearchResult};
use crate::stages::{Cell, SearchJob, tuned_file, twins_file, verified_base_path};
use crate::store::{Lookup, Record, Store};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_model::{Constraint, HybridWriter, Mask};

/// The hybrid to export, and its form.
pub struct Export<'a> {
    /// The plan of the experiment.
    pub plan: &'a Plan,
    /// The store of the experiment's results.
    pub store: &'a Store,
    /// The search, and the hybrid in its result.
    pub selector: &'a SearchSelector,
    /// The format of the directory.
    pub format: ExportFormat,
    /// The dtype to which weights are rounded. `None` keeps the dtype of every tensor.
    pub dtype: Option<ExportDtype>,
    /// The command that computes a missing search. Hints name it.
    pub sweep_command: String,
}

/// A finished search, and the hybrid of this search that is exported.
struct ExportedHybrid<'a> {
    cell: &'a Cell,
    job: &'a SearchJob,
    result: &'a SearchResult,
    selected: HybridSelector,
    chosen: &'a ChosenHybrid,
}

impl Export<'_> {
    /// Returns the conditions of the format for the hybrid. The search need not be done.
    ///
    /// # Errors
    /// Fails if the selector matches no search or several searches, or if the base is not downloaded.
    pub fn constraints(&self) -> Result<Vec<Constraint>> {
        let job = match &self.selector.tuned {
            Some(hybrid) => self.selector.find_trained_hybrid(self.plan, hybrid)?.search(),
            None => self.selector.find_search(self.plan)?.1,
        };
        let config = job.base.config()?.ok_or_else(|| {
            Error::new(ErrorKind::Missing, "the base is not downloaded")
                .hint(format!("run `{}`", self.sweep_command))
        })?;
        Ok(self.format.hybrid_format().constraints(&config, &job.variant))
    }

    /// Writes the selected hybrid to `path`, a directory or a GGUF file. Returns the layers that the hybrid
    /// replaces.
    ///
    /// # Errors
    /// Fails if the selector matches no search or several searches, if the search is not done, if files are
    /// missing or damaged, or if the format cannot express the hybrid.
    pub fn write(&self, path: &Path) -> Result<Vec<u32>> {
        if let Some(hybrid) = &self.selector.tuned {
            return self.write_trained_hybrid(hybrid, path);
        }
        let (cell, job) = self.selector.find_search(self.plan)?;
        let record: Record<SearchResult> = find_record(self.store, cell, &self.sweep_command)?;
        let (result, selected) = (&record.outcome, self.selector.hybrid);
        let chosen = selected.find(result);
        let hybrid = ExportedHybrid { cell, job, result, selected, chosen };
        let model_card = model_card::model_card(&hybrid, self.format);
        self.write_hybrid(job, &chosen.layers, None, model_card, path)?;
        Ok(chosen.layers.clone())
    }

    /// Writes a hybrid that was trained after its search.
    fn write_trained_hybrid(&self, hybrid: &str, path: &Path) -> Result<Vec<u32>> {
        let hybrid = self.selector.find_trained_hybrid(self.plan, hybrid)?;
        let scores = hybrid.read_scores(self.store, &self.sweep_command)?;
        let tuned = tuned_file(self.store, hybrid.training_cell())?;
        let model_card = tuned_model_card::tuned_model_card(&hybrid, &scores, self.format);
        self.write_hybrid(hybrid.search(), &scores.layers, Some(&tuned), model_card, path)?;
        Ok(scores.layers)
    }

    fn write_hybrid(
        &self,
        job: &SearchJob,
        layers: &[u32],
        tuned: Option<&Path>,
        model_card: String,
        path: &Path,
    ) -> Result<()> {
        let mask: Mask = layers.iter().copied().collect();
        let (base, twins) = (verified_base_path(self.store, &job.base)?, twins_file(self.store, &job.twins)?);
        HybridWriter {
            base: &base,
            twins: (&twins, &job.variant),
            mask: &mask,
            tuned,
            model_card,
            format: self.format.hybrid_format(),
            dtype: self.dtype.map(ExportDtype::weight_dtype),
        }
        .write(path)?;
        match &job.task.source {
            TaskSource::Opendrive(task) if path.is_dir() => ExportedRoadFormat::write(task, path),
            _ => Ok(()),
        }
    }
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
