//! Selects a search of a sweep by its labels, and one of the two hybrids that the search chose.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::plan::Plan;
use crate::stages::search::{ChosenHybrid, SearchResult};
use crate::stages::{Cell, Labels, SearchJob};
use dtr_core::error::{Error, Result};

/// One of the two hybrids that a search selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SelectedHybrid {
    /// `M_opt`: the last accepted hybrid, with the most replaced layers
    Opt,
    /// `M_best`: the hybrid with the highest validation score
    Best,
}

impl SelectedHybrid {
    /// Returns the selected hybrid of a search's result.
    pub fn find(self, result: &SearchResult) -> &ChosenHybrid {
        match self {
            Self::Opt => &result.opt,
            Self::Best => &result.best,
        }
    }
}

/// The labels by which a search is selected, and the hybrid to export. A search can have any value of a label
/// that is `None`.
#[derive(Clone, Debug)]
pub struct SearchSelector {
    /// Name of the base.
    pub model: Option<String>,
    /// Name of the variant.
    pub variant: Option<String>,
    /// Name of the task.
    pub task: Option<String>,
    /// Values of other sweep axes, by dotted key. A search can have any value of an axis that is missing
    /// here.
    pub axes: BTreeMap<String, String>,
    /// Hybrid to export.
    pub hybrid: SelectedHybrid,
}

impl SearchSelector {
    /// Finds the search of `plan` that has the given labels. There must be exactly one.
    ///
    /// # Errors
    /// Fails if no search or several searches have the labels. The hint then lists searches to choose from.
    pub(super) fn find_search<'a>(&self, plan: &'a Plan) -> Result<(&'a Cell, &'a SearchJob)> {
        let searches =
            || plan.cells.iter().filter_map(|cell| Some((cell, cell.downcast_job::<SearchJob>()?)));
        let matching: Vec<_> = searches().filter(|(cell, _)| self.matches(&cell.labels)).collect();
        let lines = |cells: Vec<(&Cell, &SearchJob)>| {
            cells.iter().map(|(cell, _)| format!("\n  {}", cell.labels.to_line())).collect::<String>()
        };
        match matching.as_slice() {
            [one] => Ok(*one),
            [] if searches().next().is_none() => {
                Err(Error::manifest("the sweep has no searches").hint("add variants to `sweep.variant`"))
            }
            [] => Err(Error::manifest("no search of the sweep has these names")
                .hint(format!("choose one of these searches:{}", lines(searches().collect())))),
            several => {
                Err(Error::manifest(format!("{} searches of the sweep have these names", several.len()))
                    .hint(format!(
                        "select one with `--model`, `--variant`, `--task` or `--axis`:{}",
                        lines(matching.clone())
                    )))
            }
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        let matches =
            |name: &Option<String>, label: Option<&String>| name.is_none() || name.as_ref() == label;
        matches(&self.model, Some(&labels.model))
            && matches(&self.variant, labels.variant.as_ref())
            && matches(&self.task, labels.task.as_ref())
            && self.axes.iter().all(|(key, value)| labels.axes.get(key) == Some(value))
    }
}
