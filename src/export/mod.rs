//! Handing a hybrid on: the one that a search found, as a Hugging Face directory with a model card.
//!
//! Searches nothing and trains nothing; what is missing is named with the command that makes it.

mod card;
mod selector;

use std::path::Path;

pub use selector::{Choice, Which};

use crate::plan::{Cell, Plan, Searching, Work};
use crate::runner::{base_directory, twins_file};
use crate::stages::search::{Chosen, SearchResult};
use crate::store::{Lookup, Record, Stage, Store};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_model::Variant;
use dtr_model::{HybridWriter, Mask};

/// A search that ended, and the hybrid of it that is handed on.
struct Finding<'a> {
    cell: &'a Cell,
    work: &'a Searching,
    variant: &'a Variant,
    result: &'a SearchResult,
    which: Which,
    chosen: &'a Chosen,
}

/// Writes the hybrid of `choice` to `directory`; the layers that are replaced in it.
///
/// `sweep_command` is what a hint names where the search is not done.
///
/// # Errors
/// When the choice fits no search or several, the search is not done, or files are missing or damaged.
pub fn export(
    plan: &Plan,
    store: &Store,
    choice: &Choice,
    directory: &Path,
    sweep_command: &str,
) -> Result<Vec<u32>> {
    let (cell, work) = choice.cell(plan)?;
    let record = done(store, cell, sweep_command)?;
    let result = record.result().expect("a record found done has a result");
    let chosen = choice.which.of(result);
    let variant = variant(plan, work)?;
    let finding = Finding { cell, work, variant, result, which: choice.which, chosen };
    let mask: Mask = chosen.layers.iter().copied().collect();
    let (base, twins) = (base_directory(store, &work.base)?, twins_file(store, &work.twins)?);
    let card = card::card(&finding);
    HybridWriter { base: &base, twins: (&twins, variant), mask: &mask, card }.write(directory)?;
    Ok(chosen.layers.clone())
}

fn done(store: &Store, cell: &Cell, sweep_command: &str) -> Result<Record<SearchResult>> {
    match store.find(Stage::Search, &cell.key)? {
        Lookup::Done(record) => Ok(record),
        Lookup::Failed(record) => {
            let error = record.error().unwrap_or_default().to_owned();
            Err(Error::failed(format!("`{}` failed: {error}", cell.line()))
                .hint(format!("`dtr explain {}` shows more", cell.key.short())))
        }
        Lookup::Missing | Lookup::Corrupt { .. } => {
            Err(Error::new(ErrorKind::Missing, format!("`{}` is not done", cell.line()))
                .hint(format!("`{sweep_command}` does it")))
        }
    }
}

fn variant<'a>(plan: &'a Plan, work: &Searching) -> Result<&'a Variant> {
    match plan.cell(&work.twins).map(|cell| &cell.work) {
        Some(Work::Distil(distillation)) => Ok(&distillation.variant),
        _ => Err(Error::failed(format!("distil cell {} is not part of the plan", work.twins.short()))),
    }
}
