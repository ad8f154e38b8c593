//! A cache of successful compatibility checks (see [`super::compatibility`]). With the cache, later commands
//! need not tokenize all items again.
//!
//! An entry is an empty file in the user's cache folder. Its name is a digest of all inputs of the check: the
//! files of the base, the data files of the task, the templates, and the program itself. So an entry is never
//! out of date. The folder can be deleted at any time.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;

use serde::Serialize;

use crate::data::{Split, Task};
use crate::hub;
use crate::stages::SplitIdentity;
use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, digest_file, user_cache_folder};
use dtr_core::system_info::running_program;

/// The digests of a base's files by file name, without the weights. The digest of an absent file is `None`.
pub(super) type BaseDigests = BTreeMap<String, Option<Digest>>;

/// Everything that decides whether a base can be scored on a split.
#[derive(Serialize)]
struct CheckInputs<'a> {
    base: &'a BaseDigests,
    task: SplitIdentity,
    /// The name and the digest of each data file of the split. Empty for a synthetic task. The name decides
    /// the format in which a file is read.
    rows: Vec<(String, Digest)>,
    /// The digest of the program, which contains the code of the check. `None` for a synthetic task, because
    /// a later program cannot find the entry.
    program: Option<Digest>,
}

/// The key of a cache entry.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct CheckKey {
    digest: Digest,
    /// Whether the entry is kept on disk. Entries of synthetic tasks are kept only in memory, because the
    /// check of a synthetic task is fast.
    is_kept: bool,
}

/// The checks that succeeded in this process or in earlier processes.
pub(super) struct CompatibilityCache {
    /// The folder of entries. `None` if the user has no cache folder.
    folder: Option<PathBuf>,
    known: RefCell<BTreeSet<Digest>>,
    program: OnceCell<Option<Digest>>,
}

impl CompatibilityCache {
    /// Opens the cache in the user's cache folder. Does not create the folder.
    pub(super) fn of_user() -> Self {
        Self::in_folder(user_cache_folder().map(|folder| folder.join("dtr/compatibility")))
    }

    fn in_folder(folder: Option<PathBuf>) -> Self {
        Self { folder, known: RefCell::default(), program: OnceCell::new() }
    }

    /// Returns the key for the check of a base on one split of a task.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub(super) fn key(&self, base: &BaseDigests, task: &Task, split: Split) -> Result<CheckKey> {
        let is_kept = !task.paths_of_split(split)?.is_empty();
        let inputs = CheckInputs {
            base,
            task: SplitIdentity::compute(task, split)?,
            rows: data_file_digests(task, split)?,
            program: if is_kept { self.program_digest()? } else { None },
        };
        let text = serde_json::to_string(&inputs)
            .map_err(|cause| Error::failed("cannot serialize the inputs of a check").with_source(cause))?;
        Ok(CheckKey { digest: Digest::hash(text.as_bytes()), is_kept })
    }

    /// Returns whether the check with this key has succeeded before.
    pub(super) fn contains(&self, key: CheckKey) -> bool {
        let is_on_disk = || self.path(key).is_some_and(|path| path.is_file());
        self.known.borrow().contains(&key.digest) || is_on_disk()
    }

    /// Records that the check succeeded. If the cache folder cannot be written, the next process repeats the
    /// check.
    pub(super) fn insert(&self, key: CheckKey) {
        self.known.borrow_mut().insert(key.digest);
        if let Some(path) = self.path(key)
            && path.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok())
        {
            let _ = File::create(path);
        }
    }

    fn path(&self, key: CheckKey) -> Option<PathBuf> {
        self.folder.as_ref().filter(|_| key.is_kept).map(|folder| folder.join(key.digest.to_string()))
    }

    fn program_digest(&self) -> Result<Option<Digest>> {
        if self.program.get().is_none() {
            let _ = self.program.set(Some(digest_file(&running_program())?));
        }
        Ok(self.program.get().copied().flatten())
    }
}

/// Returns the names and the digests of the files from which a split is read. A synthetic task has no files.
fn data_file_digests(task: &Task, split: Split) -> Result<Vec<(String, Digest)>> {
    let digest = |path: &String| {
        let path = hub::local_or_cached_path(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, digest_file(&path)?))
    };
    task.paths_of_split(split)?.iter().map(digest).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn task(file: &Path, prompt: &str) -> Task {
        let text = format!(
            "source.file = {{ test = {file:?}, prompt = {prompt:?}, choices.fixed = [\"a\"], label = \"0\" }}"
        );
        toml::from_str(&text).unwrap()
    }

    fn base(tokenizer: &str) -> BaseDigests {
        BaseDigests::from([
            ("tokenizer.json".to_owned(), Some(Digest::hash(tokenizer.as_bytes()))),
            ("tokenizer_config.json".to_owned(), None),
        ])
    }

    #[test]
    fn a_key_depends_on_the_base_the_rows_the_templates_and_the_split() {
        let folder = tempfile::tempdir().unwrap();
        let [lines, list] = ["rows.jsonl", "rows.json"].map(|name| folder.path().join(name));
        [&lines, &list].iter().for_each(|path| fs::write(path, "[]").unwrap());
        let cache = CompatibilityCache::in_folder(None);
        let key = |base: &BaseDigests, file: &Path, prompt: &str, split| {
            cache.key(base, &task(file, prompt), split).unwrap().digest
        };
        let first = key(&base("one"), &lines, "{{ q }}", Split::Test);
        assert_eq!(first, key(&base("one"), &lines, "{{ q }}", Split::Test));
        let mut with_config = base("one");
        with_config.insert("tokenizer_config.json".to_owned(), Some(Digest::hash(b"{}")));
        let mut keys = vec![
            first,
            key(&base("other"), &lines, "{{ q }}", Split::Test),
            key(&with_config, &lines, "{{ q }}", Split::Test),
            key(&base("one"), &list, "{{ q }}", Split::Test),
            key(&base("one"), &lines, "{{ q }} ", Split::Test),
            key(&base("one"), &lines, "{{ q }}", Split::Validation),
        ];
        fs::write(&lines, "[] ").unwrap();
        keys.push(key(&base("one"), &lines, "{{ q }}", Split::Test));
        let num_keys = keys.len();
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), num_keys);
    }

    #[test]
    fn a_later_process_finds_the_entries_of_tasks_in_files() {
        let folder = tempfile::tempdir().unwrap();
        let rows = folder.path().join("rows.jsonl");
        fs::write(&rows, "{}").unwrap();
        let open = || CompatibilityCache::in_folder(Some(folder.path().join("a/cache")));
        let synthetic: Task = toml::from_str("source.synthetic = { kind = \"recall\" }").unwrap();
        for (task, is_kept) in [(task(&rows, "{{ q }}"), true), (synthetic, false)] {
            let (cache, base) = (open(), base("one"));
            let key = cache.key(&base, &task, Split::Test).unwrap();
            assert!(!cache.contains(key));
            cache.insert(key);
            assert!(cache.contains(key));
            let later = open();
            assert_eq!(later.contains(later.key(&base, &task, Split::Test).unwrap()), is_kept);
        }
    }
}
