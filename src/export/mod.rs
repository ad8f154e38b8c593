//! Export of a hybrid that a search selected, as a Hugging Face directory with a model card.
//!
//! Exporting reads finished cells and runs none.

mod model_card;
mod selector;

use std::path::Path;

pub use selector::{SearchSelector, SelectedHybrid};

use crate::plan::{Cell, Plan, Searching, Work};
use crate::runner::{base_directory, twins_file};
use crate::stages::search::{Chosen, SearchResult};
use crate::store::{Lookup, Record, Stage, Store};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_model::Variant;
use dtr_model::{HybridWriter, Mask};

/// A finished search and the hybrid that is exported.
struct ExportedHybrid<'a> {
    cell: &'a Cell,
    work: &'a Searching,
    variant: &'a Variant,
    result: &'a SearchResult,
    selected: SelectedHybrid,
    chosen: &'a Chosen,
}

/// Writes the selected hybrid to `directory` and returns its replaced layers.
///
/// `sweep_command` is the command for the hint if the search is not done.
///
/// # Errors
/// The selector matches no search or several, the search is not done, or files are missing or damaged.
pub fn export(
    plan: &Plan,
    store: &Store,
    selector: &SearchSelector,
    directory: &Path,
    sweep_command: &str,
) -> Result<Vec<u32>> {
    let (cell, work) = selector.find_search(plan)?;
    let record = find_search_record(store, cell, sweep_command)?;
    let result = record.result().expect("the record of a finished cell has a result");
    let chosen = selector.hybrid.find(result);
    let variant = find_variant(plan, work)?;
    let hybrid = ExportedHybrid { cell, work, variant, result, selected: selector.hybrid, chosen };
    let mask: Mask = chosen.layers.iter().copied().collect();
    let (base, twins) = (base_directory(store, &work.base)?, twins_file(store, &work.twins)?);
    let card = model_card::model_card(&hybrid);
    HybridWriter { base: &base, twins: (&twins, variant), mask: &mask, card }.write(directory)?;
    Ok(chosen.layers.clone())
}

/// Returns the record of a finished search.
fn find_search_record(store: &Store, cell: &Cell, sweep_command: &str) -> Result<Record<SearchResult>> {
    match store.find(Stage::Search, &cell.key)? {
        Lookup::Done(record) => Ok(record),
        Lookup::Failed(record) => {
            let error = record.error().unwrap_or_default().to_owned();
            Err(Error::failed(format!("`{}` failed: {error}", cell.line()))
                .hint(format!("run `dtr show {}` for details", cell.key.short())))
        }
        Lookup::Missing | Lookup::Corrupt { .. } => {
            Err(Error::new(ErrorKind::Missing, format!("`{}` is not done", cell.line()))
                .hint(format!("run `{sweep_command}`")))
        }
    }
}

/// Returns the variant of the twins that a search uses.
fn find_variant<'a>(plan: &'a Plan, work: &Searching) -> Result<&'a Variant> {
    match plan.cell(&work.twins).map(|cell| &cell.work) {
        Some(Work::Distil(distillation)) => Ok(&distillation.variant),
        _ => Err(Error::failed(format!("distil cell {} is not part of the plan", work.twins.short()))),
    }
}
