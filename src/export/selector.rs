//! One search of a sweep by what people call it, and one of the hybrids that it settled on.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::plan::{Cell, Labels, Plan, Searching, Work};
use crate::stages::search::{Chosen, SearchResult};
use crate::store::Stage;
use dtr_core::error::{Error, Result};

/// One of the two hybrids that a search settles on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// `M_opt`: the most layers replaced without falling under the threshold.
    Opt,
    /// `M_best`: the highest validation score.
    Best,
}

impl Which {
    /// The hybrid in a search's result.
    pub fn of(self, result: &SearchResult) -> &Chosen {
        match self {
            Self::Opt => &result.opt,
            Self::Best => &result.best,
        }
    }
}

/// What is said of a search, as far as it is said, and which of its hybrids is meant.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The base's name.
    pub model: Option<String>,
    /// The variant's name.
    pub variant: Option<String>,
    /// The task's name.
    pub task: Option<String>,
    /// Values of the sweep's further axes, by dotted key.
    pub axes: BTreeMap<String, String>,
    /// Which of the search's hybrids.
    pub which: Which,
}

impl Choice {
    /// The one search of `plan` that fits.
    ///
    /// # Errors
    /// When none fits or several do; the error lists them.
    pub(super) fn cell<'a>(&self, plan: &'a Plan) -> Result<(&'a Cell, &'a Searching)> {
        let searches = || {
            plan.of(Stage::Search).filter_map(|cell| match &cell.work {
                Work::Search(work) => Some((cell, work)),
                _ => None,
            })
        };
        let fitting: Vec<_> = searches().filter(|(cell, _)| self.fits(&cell.labels)).collect();
        let lines = |cells: Vec<(&Cell, &Searching)>| {
            cells.iter().map(|(cell, _)| format!("\n  {}", cell.labels.line())).collect::<String>()
        };
        match fitting.as_slice() {
            [one] => Ok(*one),
            [] if searches().next().is_none() => {
                Err(Error::manifest("the sweep searches no hybrids").hint("`sweep.variant` names none"))
            }
            [] => Err(Error::manifest("no search of the sweep is the one that is asked for")
                .hint(format!("it has{}", lines(searches().collect())))),
            several => {
                Err(Error::manifest(format!("{} searches of the sweep fit", several.len())).hint(format!(
                    "choose one with `--model`, `--variant`, `--task` or `--axis`{}",
                    lines(fitting.clone())
                )))
            }
        }
    }

    fn fits(&self, labels: &Labels) -> bool {
        let fits = |said: &Option<String>, label: Option<&String>| said.is_none() || said.as_ref() == label;
        fits(&self.model, Some(&labels.model))
            && fits(&self.variant, labels.variant.as_ref())
            && fits(&self.task, labels.task.as_ref())
            && self.axes.iter().all(|(key, value)| labels.axes.get(key) == Some(value))
    }
}
