//! Links from the page to the records of cells.

use std::collections::BTreeMap;
use std::path::Path;

use super::RESULTS;
use crate::report::evidence::{Evidence, TestEvidence};
use crate::store::{Key, Layout, Stage};

/// The cells of the evidence by key. A column is displayed as links if all of its values are such keys.
pub(super) struct RecordLinks {
    stages: BTreeMap<String, Stage>,
}

impl RecordLinks {
    /// Collects the cells of `evidence`.
    pub(super) fn new(evidence: &Evidence) -> Self {
        let named = |name: &str| Stage::ALL.into_iter().find(|stage| stage.name() == name);
        let done = evidence.stages.iter().filter_map(|cell| Some((cell.key.clone(), named(&cell.stage)?)));
        let searches = evidence.searches.iter();
        let scored_hybrids = searches.flat_map(|search| [&search.base, &search.best.test, &search.opt.test]);
        let scored = |test: &TestEvidence| (test.cell.clone(), Stage::Score);
        let bases = evidence.bases.iter().map(|base| &base.test);
        Self { stages: done.chain(scored_hybrids.chain(bases).map(scored)).collect() }
    }

    /// Returns whether a cell of the evidence has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.stages.contains_key(key)
    }

    /// Returns the path of the record of a cell, relative to the page.
    pub(super) fn path(&self, key: &str) -> Option<String> {
        let stage = *self.stages.get(key)?;
        let key: Key = key.parse().ok()?;
        let record = Layout::new(Path::new(RESULTS)).cell(stage, &key).record();
        Some(record.to_string_lossy().into_owned())
    }
}
