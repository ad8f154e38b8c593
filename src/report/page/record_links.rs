//! Links from the page to the records of cells.

use std::collections::BTreeMap;
use std::path::Path;

use super::RESULTS;
use crate::report::evidence::{Evidence, TestEvidence};
use crate::stages::{ScoreJob, Stage};
use crate::store::{CellId, ResultsFolder, StageName};

/// The cells of the evidence by key. A column is displayed as links if all of its values are such keys.
pub(super) struct RecordLinks {
    stages: BTreeMap<String, StageName>,
}

impl RecordLinks {
    /// Collects the cells of `evidence`.
    pub(super) fn new(evidence: &Evidence) -> Self {
        let named = |name: &str| StageName::try_from(name.to_owned()).ok();
        let done = evidence.stages.iter().filter_map(|cell| Some((cell.key.clone(), named(&cell.stage)?)));
        let searches = evidence.searches.iter();
        let scored_hybrids = searches.flat_map(|search| [&search.base, &search.best.test, &search.opt.test]);
        let scored = |test: &TestEvidence| (test.cell.clone(), ScoreJob::NAME);
        let bases = evidence.bases.iter().map(|base| &base.test);
        Self { stages: done.chain(scored_hybrids.chain(bases).map(scored)).collect() }
    }

    /// Returns whether a cell of the evidence has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.stages.contains_key(key)
    }

    /// Returns the path of the record of a cell, relative to the page.
    pub(super) fn path(&self, key: &str) -> Option<String> {
        let stage = self.stages.get(key)?.clone();
        let cell = CellId { stage, key: key.parse().ok()? };
        let record = ResultsFolder::new(Path::new(RESULTS)).cell(&cell).record();
        Some(record.to_string_lossy().into_owned())
    }
}
