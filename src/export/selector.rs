//! Selects a search of a sweep by its labels, and one of the two hybrids in the search's result.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::trained_hybrid::{TrainedHybrid, TrainingKind};
use crate::plan::Plan;
use crate::stages::search::{ChosenHybrid, SearchResult};
use crate::stages::{Cell, CellLabels, SearchJob};
use dtr_core::error::{Error, Result};

/// Names one of the two hybrids in the result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HybridSelector {
    /// `M_opt`: the last accepted hybrid, with the most replaced layers
    Opt,
    /// `M_best`: the hybrid with the highest validation score
    Best,
}

impl HybridSelector {
    /// Returns the hybrid in `result` that this value names.
    pub fn find(self, result: &SearchResult) -> &ChosenHybrid {
        match self {
            Self::Opt => &result.opt,
            Self::Best => &result.best,
        }
    }
}

/// The labels that select a search, and the hybrid of this search that is exported. A label that is `None`
/// matches every search.
#[derive(Clone, Debug)]
pub struct SearchSelector {
    /// Name of the base.
    pub model: Option<String>,
    /// Name of the variant.
    pub variant: Option<String>,
    /// Name of the task.
    pub task: Option<String>,
    /// Values of the other sweep axes, by the dotted manifest key of the axis. An axis that is absent from
    /// this map matches every value.
    pub axes: BTreeMap<String, String>,
    /// Hybrid to export.
    pub hybrid: HybridSelector,
    /// The trained hybrid to export in place of `hybrid`, as in the table `tuned_hybrids`: `hybrid=opt`,
    /// `hybrid=best`, or `replaced=` and a number of layers.
    pub tuned: Option<String>,
    /// The training of `tuned`.
    pub training: Option<TrainingKind>,
}

impl SearchSelector {
    /// Returns the trained hybrid of `plan` with the name `hybrid`, such as `replaced=4`. The name is written as
    /// in the table `tuned_hybrids`. The labels must match the hybrid. If several trainings changed the hybrid
    /// and `training` is `None`, returns the fine-tuned hybrid.
    ///
    /// # Errors
    /// Fails if no hybrid or several hybrids match. The hint lists the trained hybrids to choose from.
    pub(super) fn find_trained_hybrid<'a>(&self, plan: &'a Plan, hybrid: &str) -> Result<TrainedHybrid<'a>> {
        let is_chosen = |trained: &TrainedHybrid<'_>| {
            let is_training = self.training.is_none_or(|kind| kind == trained.kind());
            is_training && self.matches(&trained.cell.labels) && trained.label() == hybrid
        };
        let mut matching: Vec<_> = TrainedHybrid::all(plan).filter(is_chosen).collect();
        if matching.iter().any(|trained| trained.kind() == TrainingKind::Finetune) {
            matching.retain(|trained| trained.kind() == TrainingKind::Finetune);
        }
        let lines = |hybrids: &[TrainedHybrid<'_>]| {
            let line = |trained: &TrainedHybrid<'_>| {
                format!("\n  {} {}", trained.cell.labels.to_line(), trained.label())
            };
            hybrids.iter().map(line).collect::<String>()
        };
        let all: Vec<_> = TrainedHybrid::all(plan).collect();
        match matching.as_slice() {
            [one] => Ok(*one),
            [] if all.is_empty() => Err(Error::manifest("the sweep trains no hybrid after its search")
                .hint("list hybrids in `logit-distil.hybrids` or `finetune.hybrids`")),
            [] => Err(Error::manifest(format!("no trained hybrid `{hybrid}` has these names"))
                .hint(format!("choose one of these hybrids:{}", lines(&all)))),
            several => Err(Error::manifest(format!("{} trained hybrids have these names", several.len()))
                .hint(format!(
                    "select one with `--model`, `--variant`, `--task` or `--axis`:{}",
                    lines(several)
                ))),
        }
    }

    /// Returns the search of `plan` that the labels match.
    ///
    /// # Errors
    /// Fails if the labels match no search or several searches. The hint lists searches to choose from.
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

    fn matches(&self, labels: &CellLabels) -> bool {
        let matches =
            |name: &Option<String>, label: Option<&String>| name.is_none() || name.as_ref() == label;
        matches(&self.model, Some(&labels.model))
            && matches(&self.variant, labels.variant.as_ref())
            && matches(&self.task, labels.task.as_ref())
            && self.axes.iter().all(|(key, value)| labels.axes.get(key) == Some(value))
    }
}
