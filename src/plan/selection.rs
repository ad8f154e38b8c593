//! The cells of a plan that a sweep runs: all cells, or those of a stage and a base that the user named.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::expand::Plan;
use crate::stages::{Cell, STAGES};
use crate::store::{CellKey, StageName};
use dtr_core::error::{Error, Result};

/// A stage, or the cells of a stage that belong to one base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFilter {
    stage: StageName,
    /// Name of the base. `None` if the filter matches the cells of all bases.
    model: Option<String>,
}

impl CellFilter {
    /// Returns whether the filter matches `cell`.
    fn matches(&self, cell: &Cell) -> bool {
        *cell.stage() == self.stage && self.model.as_ref().is_none_or(|model| *model == cell.labels.model)
    }
}

impl FromStr for CellFilter {
    type Err = Error;

    /// Reads `STAGE` or `STAGE:MODEL`.
    fn from_str(text: &str) -> Result<Self> {
        let (stage, model) = match text.split_once(':') {
            Some((stage, model)) => (stage, Some(model.to_owned())),
            None => (text, None),
        };
        let Some(entry) = STAGES.iter().find(|entry| entry.name.as_str() == stage) else {
            let names: Vec<&str> = STAGES.iter().map(|entry| entry.name.as_str()).collect();
            return Err(Error::manifest(format!("`{stage}` is not one of the stages {}", names.join(", "))));
        };
        Ok(Self { stage: entry.name.clone(), model })
    }
}

impl fmt::Display for CellFilter {
    /// Writes the text that [`CellFilter::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}:{model}", self.stage),
            None => write!(f, "{}", self.stage),
        }
    }
}

/// The cells of a plan that a sweep runs.
#[derive(Clone, Debug, Default)]
pub enum CellSelection {
    /// All cells.
    #[default]
    All,
    /// The cells with these keys.
    Only(BTreeSet<CellKey>),
}

impl Plan {
    /// Selects the cells that match at least one of `filters`. Without filters, all cells stay selected.
    ///
    /// # Errors
    /// Fails if a filter matches no cell.
    pub fn select(&mut self, filters: &[CellFilter]) -> Result<()> {
        for filter in filters {
            if !self.cells.iter().any(|cell| filter.matches(cell)) {
                return Err(Error::manifest(format!("cannot select `{filter}`: it matches no cell"))
                    .hint("run `dtr plan` to list the cells"));
            }
        }
        if !filters.is_empty() {
            let is_matched = |cell: &&Cell| filters.iter().any(|filter| filter.matches(cell));
            let keys = self.cells.iter().filter(is_matched).map(Cell::key).collect();
            self.selection = CellSelection::Only(keys);
        }
        Ok(())
    }

    /// Returns whether a sweep runs `cell`.
    pub fn is_selected(&self, cell: &Cell) -> bool {
        match &self.selection {
            CellSelection::All => true,
            CellSelection::Only(keys) => keys.contains(&cell.key()),
        }
    }

    /// Returns the cells that a sweep runs, in the order of the plan.
    pub fn selected_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| self.is_selected(cell))
    }
}
