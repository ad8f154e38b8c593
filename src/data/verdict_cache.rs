//! A cache of the scores of programs and scripts, in the user's cache folder.
//!
//! The key of a score is a digest of everything that decides it: the program, the code that judges it, the
//! versions of Python and numpy, the limits, and the layers of the sandbox. So an entry is never out of date.
//! The folder can be deleted at any time.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use dtr_core::files::{Digest, user_cache_folder, write_bytes_atomically};
use dtr_sandbox::ReferenceOutputs;
use serde::{Deserialize, Serialize};

/// A line of the file of scores.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: Digest,
    score: f64,
}

/// The scores that this process and earlier processes know.
#[derive(Default)]
pub(super) struct VerdictCache {
    /// The folder of the cache. `None` if the user has no cache folder, or if the sandbox is not open.
    folder: Option<PathBuf>,
    scores: BTreeMap<Digest, f64>,
}

impl VerdictCache {
    /// Reads the cache in the user's cache folder. Does not create the folder.
    pub fn of_user() -> Self {
        Self::in_folder(user_cache_folder().map(|folder| folder.join("dtr/verdicts")))
    }

    fn in_folder(folder: Option<PathBuf>) -> Self {
        let text = folder.as_ref().and_then(|folder| fs::read_to_string(folder.join("scores.jsonl")).ok());
        // A process that ended while it wrote leaves half a line.
        let entries =
            text.iter().flat_map(|text| text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        let scores = entries.map(|Entry { key, score }| (key, score)).collect();
        Self { folder, scores }
    }

    /// Returns the score with this key.
    pub fn score(&self, key: &Digest) -> Option<f64> {
        self.scores.get(key).copied()
    }

    /// Keeps scores in memory until the process ends.
    pub fn remember(&mut self, scores: impl IntoIterator<Item = (Digest, f64)>) {
        self.scores.extend(scores);
    }

    /// Keeps scores in memory and on disk. If the folder cannot be written, the next process computes them
    /// again.
    pub fn store(&mut self, scores: &[(Digest, f64)]) {
        self.remember(scores.iter().copied());
        let Some(folder) = self.folder.as_ref().filter(|_| !scores.is_empty()) else { return };
        // Each line begins with a line feed, so that it is complete even after half a line.
        let line = |&(key, score): &(Digest, f64)| {
            format!("\n{}", serde_json::to_string(&Entry { key, score }).expect("an entry is plain JSON"))
        };
        let lines: String = scores.iter().map(line).collect();
        let append = || -> std::io::Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = OpenOptions::new().create(true).append(true).open(folder.join("scores.jsonl"))?;
            file.write_all(lines.as_bytes())
        };
        let _ = append();
    }

    /// Returns the outputs of the reference solution with this key.
    pub fn reference_outputs(&self, key: &Digest) -> Option<ReferenceOutputs> {
        serde_json::from_slice(&fs::read(self.reference_path(key)?).ok()?).ok()
    }

    /// Keeps the outputs of a reference solution on disk.
    pub fn store_reference_outputs(&self, key: &Digest, outputs: &ReferenceOutputs) {
        if let Some(path) = self.reference_path(key)
            && path.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok())
        {
            let json = serde_json::to_vec(outputs).expect("outputs are plain JSON");
            let _ = write_bytes_atomically(&path, &json);
        }
    }

    fn reference_path(&self, key: &Digest) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("reference-outputs/{key}.json")))
    }
}

#[cfg(test)]
mod tests {
    use dtr_sandbox::InputSetOutputs;

    use super::*;

    fn keys() -> [Digest; 3] {
        [b"a", b"b", b"c"].map(|bytes| Digest::hash(bytes))
    }

    #[test]
    fn a_later_process_finds_stored_scores_and_no_remembered_ones() {
        let folder = tempfile::tempdir().unwrap();
        let open = || VerdictCache::in_folder(Some(folder.path().join("verdicts")));
        let [one, other, remembered] = keys();
        let mut cache = open();
        cache.store(&[(one, 0.1), (other, 1.0)]);
        cache.remember([(remembered, 0.0)]);
        assert_eq!(cache.score(&remembered), Some(0.0));
        let later = open();
        assert_eq!([one, other, remembered].map(|key| later.score(&key)), [Some(0.1), Some(1.0), None]);
    }

    #[test]
    fn half_a_line_of_a_killed_process_changes_no_other_score() {
        let folder = tempfile::tempdir().unwrap();
        let open = || VerdictCache::in_folder(Some(folder.path().to_owned()));
        let [one, other, _] = keys();
        open().store(&[(one, 0.5)]);
        let file = folder.path().join("scores.jsonl");
        let half = fs::read_to_string(&file).unwrap() + "\n{\"key\": \"";
        fs::write(&file, half).unwrap();
        open().store(&[(other, 0.25)]);
        assert_eq!([one, other].map(|key| open().score(&key)), [Some(0.5), Some(0.25)]);
    }

    #[test]
    fn a_later_process_finds_the_outputs_of_reference_solutions() {
        let folder = tempfile::tempdir().unwrap();
        let open = || VerdictCache::in_folder(Some(folder.path().to_owned()));
        let outputs = |text: &str| InputSetOutputs { outputs: text.to_owned(), seconds: vec![0.1, 1e-7] };
        let outputs = ReferenceOutputs { base: outputs("b"), plus: outputs("p") };
        let [key, other, _] = keys();
        open().store_reference_outputs(&key, &outputs);
        assert_eq!(open().reference_outputs(&key), Some(outputs));
        assert_eq!(open().reference_outputs(&other), None);
    }
}
