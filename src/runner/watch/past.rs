//! What became of a sweep's cells in the workers before this one, and who is to blame when a worker dies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::store::Key;
use dtr_core::files::Digest;

/// What a worker tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// It planned cells whose keys have this digest.
    Planned(Digest),
    /// It takes this cell up.
    Begun(Key),
    /// It has done with this cell.
    Ended(Key, Ending),
}

/// How a worker had done with a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With a result.
    Done,
    /// With a record of why not.
    Failed,
    /// Without a record.
    Left,
}

/// How a worker died that was at work on a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fate {
    /// What it died of.
    pub why: String,
    /// Seconds since it had taken the cell up.
    pub seconds: f64,
}

/// What became of a sweep's cells so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// The digest of the keys that were planned.
    pub plan: Option<Digest>,
    /// Cells that this sweep did.
    pub done: BTreeSet<Key>,
    /// Cells that failed in this sweep: it does not try them again.
    pub failed: BTreeSet<Key>,
    /// Cells that a worker died of, which is to be recorded.
    pub blamed: BTreeMap<Key, Fate>,
    /// Cells that a worker was at side by side when it died, which is to be noted in their logs.
    pub suspected: BTreeMap<Key, Fate>,
    /// Cells that are done without company, since nobody knows which of them a worker died of.
    pub alone: BTreeSet<Key>,
}

/// The cells that a worker is at, and since when.
pub(super) type AtWork = BTreeMap<Key, Instant>;

impl Past {
    /// Whether this sweep does a cell without company.
    pub fn is_alone(&self, key: &Key) -> bool {
        self.alone.contains(key) || self.suspected.contains_key(key)
    }

    /// Whether a cell failed in this sweep.
    pub fn has_failed(&self, key: &Key) -> bool {
        self.failed.contains(key) || self.blamed.contains_key(key)
    }

    /// Keeps what a worker tells.
    pub(super) fn hear(&mut self, word: Word, at_work: &mut AtWork) {
        match word {
            Word::Planned(digest) => self.plan = Some(digest),
            Word::Begun(key) => drop(at_work.insert(key, Instant::now())),
            Word::Ended(key, ending) => {
                at_work.remove(&key);
                self.blamed.remove(&key);
                if self.suspected.remove(&key).is_some() {
                    self.alone.insert(key);
                }
                match ending {
                    Ending::Done => drop(self.done.insert(key)),
                    Ending::Failed => drop(self.failed.insert(key)),
                    Ending::Left => {}
                }
            }
        }
    }

    /// Judges who is to blame for the death of a worker that was at `at_work`; false when it was at nothing.
    ///
    /// One cell is to blame by itself. Of several, nobody knows which: each is done alone, and the next death of one
    /// is its own. So every death takes a cell out of the sweep or out of its company, and a sweep ends.
    pub(super) fn judge(&mut self, at_work: &AtWork, why: &str) -> bool {
        let is_known = at_work.len() == 1 || at_work.keys().all(|key| self.is_alone(key));
        let fate = |since: &Instant| Fate { why: why.to_owned(), seconds: since.elapsed().as_secs_f64() };
        let fates = at_work.iter().map(|(key, since)| (*key, fate(since)));
        match is_known {
            true => self.blamed.extend(fates),
            false => self.suspected.extend(fates),
        }
        !at_work.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Digest::hash(name.as_bytes()).to_string().parse().unwrap()
    }

    fn begin(past: &mut Past, names: &[&str]) -> AtWork {
        let mut at_work = AtWork::new();
        names.iter().for_each(|name| past.hear(Word::Begun(key(name)), &mut at_work));
        at_work
    }

    #[test]
    fn one_cell_is_to_blame_by_itself_until_that_is_recorded() {
        let mut past = Past::default();
        let mut at_work = begin(&mut past, &["a", "b"]);
        past.hear(Word::Ended(key("b"), Ending::Done), &mut at_work);
        assert!(past.judge(&at_work, "killed"));
        assert_eq!(past.blamed.keys().collect::<Vec<_>>(), [&key("a")]);
        assert!(past.has_failed(&key("a")) && !past.has_failed(&key("b")));
        past.hear(Word::Ended(key("a"), Ending::Failed), &mut AtWork::new());
        assert!(past.blamed.is_empty() && past.has_failed(&key("a")));
        assert!(past.done.contains(&key("b")));
    }

    #[test]
    fn of_several_each_is_done_alone_and_then_its_death_is_its_own() {
        let mut past = Past::default();
        let together = begin(&mut past, &["a", "b"]);
        assert!(past.judge(&together, "killed"));
        assert!(past.blamed.is_empty() && past.is_alone(&key("a")) && past.is_alone(&key("b")));
        for name in ["a", "b"] {
            past.hear(Word::Ended(key(name), Ending::Left), &mut AtWork::new());
        }
        assert!(past.suspected.is_empty() && past.is_alone(&key("a")) && !past.has_failed(&key("a")));
        // Were they taken up together again, it would not go on for ever.
        assert!(past.judge(&together, "killed"));
        assert_eq!(past.blamed.len(), 2);
    }

    #[test]
    fn who_was_at_nothing_died_of_no_cell() {
        let mut past = Past::default();
        assert!(!past.judge(&AtWork::new(), "killed"));
        assert_eq!(past, Past::default());
    }

    #[test]
    fn it_is_told_as_a_line_and_read_back() {
        let mut past = Past { plan: Some(Digest::hash(b"keys")), ..Past::default() };
        let at_work = begin(&mut past, &["a"]);
        past.judge(&at_work, "killed\nin the night");
        let line = serde_json::to_string(&past).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Past>(&line).unwrap(), past);
    }
}
