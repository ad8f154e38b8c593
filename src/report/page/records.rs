//! Where the record behind a key lies, seen from the page.

use std::collections::BTreeMap;
use std::path::Path;

use super::RESULTS;
use crate::report::evidence::{Evidence, TestEvidence};
use crate::store::{Key, Layout, Stage};

/// The cells that the evidence names.
///
/// A column holds keys if its values are among them: no list says which columns do.
pub(super) struct Records {
    stages: BTreeMap<String, Stage>,
}

impl Records {
    /// The cells of `evidence`.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let named = |name: &str| Stage::ALL.into_iter().find(|stage| stage.name() == name);
        let done = evidence.stages.iter().filter_map(|cell| Some((cell.key.clone(), named(&cell.stage)?)));
        let searches = evidence.searches.iter();
        let judged = searches.flat_map(|search| [&search.base, &search.best.test, &search.opt.test]);
        let scored = |test: &TestEvidence| (test.cell.clone(), Stage::Score);
        let bases = evidence.bases.iter().map(|base| &base.test);
        Self { stages: done.chain(judged.chain(bases).map(scored)).collect() }
    }

    /// Whether a cell of the evidence has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.stages.contains_key(key)
    }

    /// The record of the cell `key`, relative to the page.
    pub(super) fn link(&self, key: &str) -> Option<String> {
        let stage = *self.stages.get(key)?;
        let key: Key = key.parse().ok()?;
        let record = Layout::new(Path::new(RESULTS)).cell(stage, &key).record();
        Some(record.to_string_lossy().into_owned())
    }
}
