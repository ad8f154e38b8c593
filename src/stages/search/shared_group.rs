//! The files through which several processes score a group of candidates together.
//!
//! The process that runs a search, its owner, describes the current group in `group.json`, if candidates take
//! long. Each process claims one part of the task's items after another, with a file, and scores the candidates
//! on it. A helper writes the scores of its parts into files. The owner adds up the parts in their order, so the
//! result is what the owner would have computed alone.
//!
//! The files are in the folder of the search's checkpoints, which is removed when the search ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::{GroupScores, PartScore};
use crate::device::TimeAndEnergy;
use crate::store::{AttemptId, CellFolder, CellId, Store};
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files;
use dtr_model::Mask;

/// The name of the file that describes the current group.
const GROUP_FILE: &str = "group.json";

/// The beginning of the names of the files of parts.
const PART_PREFIX: &str = "part-";

/// The beginning of the names of the files with which helpers announce themselves.
const HELPER_PREFIX: &str = "helper-";

/// The version of the program. Programs of different versions may divide items into different parts.
const PROGRAM: (&str, Option<&str>) = (env!("CARGO_PKG_VERSION"), option_env!("DTR_REVISION"));

/// A group of candidates that several processes score together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SharedGroup {
    /// The name of the group. No other group has it.
    pub(super) name: String,
    /// The version of the owner's program.
    program: (String, Option<String>),
    /// The layers of the hybrid whose hidden states the candidates share up to the first difference.
    incumbent: Vec<u32>,
    /// The layers that each candidate replaces.
    candidates: Vec<Vec<u32>>,
    /// The indices of the candidates that are not pruned yet.
    pub(super) open: Vec<usize>,
    /// Whether candidates can be pruned.
    pub(super) can_prune: bool,
    /// The number of parts of the task's items.
    pub(super) num_parts: usize,
    /// Whether the search runs on a CPU. CPUs and GPUs divide the items into different parts.
    is_cpu: bool,
}

impl SharedGroup {
    /// Describes a group of which no part has been scored. `index` is the number of this process's groups before.
    pub(super) fn new(index: usize, group: &[Candidate<'_>], scores: &GroupScores<'_>, is_cpu: bool) -> Self {
        let (version, revision) = PROGRAM;
        Self {
            name: format!("{}-{index}", AttemptId::of_this_process().as_str()),
            program: (version.to_owned(), revision.map(str::to_owned)),
            incumbent: group[0].incumbent.layers(),
            candidates: group.iter().map(|candidate| candidate.mask.layers()).collect(),
            open: scores.open_candidates(),
            can_prune: scores.can_prune(),
            num_parts: scores.num_parts(),
            is_cpu,
        }
    }

    pub(super) fn incumbent(&self) -> Mask {
        self.incumbent.iter().copied().collect()
    }

    pub(super) fn candidates(&self) -> Vec<Mask> {
        self.candidates.iter().map(|layers| layers.iter().copied().collect()).collect()
    }

    /// Returns whether a process of this program can help, if it computes on a CPU, or on GPUs. Such a process
    /// divides the items into the same parts.
    pub(super) fn accepts(&self, is_cpu: bool) -> bool {
        let (version, revision) = &self.program;
        (version.as_str(), revision.as_deref()) == PROGRAM && self.is_cpu == is_cpu
    }
}

/// The scores of a part that a helper has computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HelpedPart {
    /// The indices of the candidates that the helper scored.
    pub(super) candidates: Vec<usize>,
    /// The score of each of these candidates.
    pub(super) scores: Vec<PartScore>,
    /// The time and the energy that the part took.
    pub(super) spent: TimeAndEnergy,
}

/// The parts of a group that have a file, and the number of processes that help.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ListedParts {
    claimed: BTreeSet<usize>,
    /// The parts that a helper has scored.
    pub(super) scored: BTreeSet<usize>,
    pub(super) num_helpers: usize,
}

/// How a process chooses its next part.
///
/// If each process takes the parts that it took in the previous group, it uses its cached states again.
pub(super) struct PartChoice<'a> {
    /// The parts to choose from.
    pub(super) parts: Range<usize>,
    /// Whether parts must be taken about in their order, because the first parts decide which candidates are
    /// pruned.
    pub(super) in_order: bool,
    /// Whether to leave the last parts to other processes if they cost this process more than twice as much as
    /// a part whose states it caches.
    pub(super) leaves_last: bool,
    /// Returns the number of layers that the process runs for a part.
    pub(super) cost: &'a dyn Fn(usize) -> usize,
}

impl PartChoice<'_> {
    /// Returns the index of the best part in `free`. If `num_helpers` processes help, one of the first parts may
    /// be left out.
    fn best_of(&self, free: &[usize], num_helpers: usize) -> Option<usize> {
        let num_near = if self.in_order { free.len().min(1 + num_helpers) } else { free.len() };
        let best = (0..num_near).min_by_key(|index| (self.cost)(free[*index]))?;
        let lowest_cost = || self.parts.clone().map(self.cost).min().unwrap_or(0);
        let is_left =
            self.leaves_last && free.len() <= num_helpers && (self.cost)(free[best]) > 2 * lowest_cost();
        (!is_left).then_some(best)
    }
}

/// The files of the groups of a search.
pub(super) struct GroupFiles {
    folder: CellFolder,
    owner: String,
}

impl GroupFiles {
    /// Returns the files of the search with the id `search`.
    pub(super) fn new(store: &Store, search: &CellId) -> Self {
        Self { folder: store.cell_folder(search), owner: search.key.to_string() }
    }

    fn file(&self, name: &str) -> Result<CheckpointFile> {
        Ok(CheckpointFile::new(self.folder.checkpoint_path(name)?, self.owner.clone()))
    }

    /// Describes the current group to helpers.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn write_group(&self, group: &SharedGroup) -> Result<()> {
        self.file(GROUP_FILE)?.write(&to_json(group))
    }

    /// Reads the current group. Returns `None` if there is none, or if its file cannot be used.
    pub(super) fn read_group(&self) -> Result<Option<SharedGroup>> {
        Ok(read_json(&self.file(GROUP_FILE)?))
    }

    /// Removes the current group and the files of all parts.
    ///
    /// # Errors
    /// Fails if a file cannot be removed.
    pub(super) fn remove_group(&self) -> Result<()> {
        files::remove_file_or_folder_if_present(self.file(GROUP_FILE)?.path())?;
        self.remove_parts()
    }

    /// Removes the files of all parts.
    ///
    /// # Errors
    /// Fails if a file cannot be removed.
    pub(super) fn remove_parts(&self) -> Result<()> {
        for name in self.names()?.iter().filter(|name| name.starts_with(PART_PREFIX)) {
            files::remove_file_or_folder_if_present(self.file(name)?.path())?;
        }
        Ok(())
    }

    /// Lists the parts of `group` that are claimed or scored.
    ///
    /// # Errors
    /// Fails if the folder cannot be listed.
    pub(super) fn list_parts(&self, group: &str) -> Result<ListedParts> {
        let (prefix, mut listed) = (format!("{PART_PREFIX}{group}-"), ListedParts::default());
        for name in self.names()? {
            listed.num_helpers += usize::from(name.starts_with(HELPER_PREFIX));
            let Some((part, kind)) = name.strip_prefix(&prefix).and_then(|name| name.split_once('.')) else {
                continue;
            };
            match (part.parse(), kind) {
                (Ok(part), "claim") => drop(listed.claimed.insert(part)),
                (Ok(part), "json") => drop(listed.scored.insert(part)),
                _ => {}
            }
        }
        Ok(listed)
    }

    /// Claims a part of `group` that nobody has claimed. Returns `None` if there is none for the caller.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written.
    pub(super) fn claim_part(&self, group: &str, choice: &PartChoice<'_>) -> Result<Option<usize>> {
        let listed = self.list_parts(group)?;
        let is_free = |part: &usize| !listed.claimed.contains(part) && !listed.scored.contains(part);
        let mut free: Vec<usize> = choice.parts.clone().filter(is_free).collect();
        while let Some(index) = choice.best_of(&free, listed.num_helpers) {
            let part = free.remove(index);
            if self.claim(group, part)? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Claims a part. Returns false if another process has claimed it.
    fn claim(&self, group: &str, part: usize) -> Result<bool> {
        self.part_file(group, part, "claim")?.create(AttemptId::of_this_process().as_str().as_bytes())
    }

    /// Writes the scores of a part that this process has claimed.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn write_part(&self, group: &str, part: usize, scored: &HelpedPart) -> Result<()> {
        self.part_file(group, part, "json")?.create(&to_json(scored)).map(drop)
    }

    /// Reads the scores of a part. Returns `None` if there is no file, or if it cannot be used.
    ///
    /// # Errors
    /// Fails if the name of the file cannot be formed.
    pub(super) fn read_part(&self, group: &str, part: usize) -> Result<Option<HelpedPart>> {
        let read: Option<HelpedPart> = read_json(&self.part_file(group, part, "json")?);
        Ok(read.filter(|part| part.candidates.len() == part.scores.len()))
    }

    fn part_file(&self, group: &str, part: usize, kind: &str) -> Result<CheckpointFile> {
        self.file(&format!("{PART_PREFIX}{group}-{part}.{kind}"))
    }

    /// Announces that this process would help. Returns false if the owner has not created the folder yet.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn announce_helper(&self) -> Result<bool> {
        let id = AttemptId::of_this_process().as_str();
        let folder_exists = self.folder.checkpoint_folder().exists();
        if folder_exists {
            self.file(&format!("{HELPER_PREFIX}{id}"))?.create(id.as_bytes())?;
        }
        Ok(folder_exists)
    }

    /// Returns the names of the files.
    fn names(&self) -> Result<Vec<String>> {
        let folder = self.folder.checkpoint_folder();
        let failure = |cause| Error::io("list", &folder, cause);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(failure(cause)),
        };
        let name = |entry: std::io::Result<fs::DirEntry>| {
            Ok(entry.map_err(failure)?.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("the value is plain JSON")
}

fn read_json<T: for<'de> Deserialize<'de>>(file: &CheckpointFile) -> Option<T> {
    serde_json::from_slice(&file.read().ok()??).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{CellInputs, CellSpec, StageName};

    /// Calls `test` with the files of a search in an empty store.
    fn with_files(test: impl FnOnce(&GroupFiles)) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let spec = CellSpec::new(StageName::new("search"), 1, &json!({}), CellInputs::new()).unwrap();
        fs::create_dir_all(store.cell_folder(&spec.id).checkpoint_folder()).unwrap();
        test(&GroupFiles::new(&store, &spec.id));
    }

    fn choice(parts: Range<usize>, in_order: bool, cost: &dyn Fn(usize) -> usize) -> PartChoice<'_> {
        PartChoice { parts, in_order, leaves_last: false, cost }
    }

    fn part(candidates: Vec<usize>) -> HelpedPart {
        HelpedPart { candidates, scores: Vec::new(), spent: TimeAndEnergy::ZERO }
    }

    #[test]
    fn each_part_is_claimed_once_in_its_order() {
        with_files(|files| {
            let choice = choice(1..4, true, &|_| 1);
            let claim = |group: &str| files.claim_part(group, &choice).unwrap();
            assert_eq!([(); 4].map(|()| claim("a")), [Some(1), Some(2), Some(3), None]);
            assert_eq!(claim("b"), Some(1));
        });
    }

    #[test]
    fn a_process_prefers_a_near_part_whose_states_it_caches() {
        with_files(|files| {
            let cost = |part: usize| 5 - part % 2;
            let claim = |group: &str| files.claim_part(group, &choice(0..6, true, &cost)).unwrap();
            // Without helpers, all parts are scored in their order.
            assert_eq!(claim("a"), Some(0));
            assert!(files.announce_helper().unwrap());
            assert_eq!([(); 5].map(|()| claim("a")), [1, 3, 2, 5, 4].map(Some));
            // The order does not matter if no candidate can be pruned.
            let claim = || files.claim_part("b", &choice(0..6, false, &cost)).unwrap();
            assert_eq!([(); 6].map(|()| claim()), [1, 3, 5, 0, 2, 4].map(Some));
        });
    }

    #[test]
    fn a_last_part_that_costs_much_is_left_to_others() {
        let cost_of_even = |cost: usize| move |part: usize| if part % 2 == 1 { 4 } else { cost };
        let (low, high) = (cost_of_even(8), cost_of_even(9));
        let leaving = |cost| PartChoice { leaves_last: true, ..choice(0..4, true, cost) };
        assert_eq!(leaving(&high).best_of(&[0, 2], 1), Some(0));
        assert_eq!(leaving(&high).best_of(&[2], 1), None);
        assert_eq!(leaving(&low).best_of(&[2], 1), Some(0));
        assert_eq!(leaving(&high).best_of(&[3], 1), Some(0));
        assert_eq!(choice(0..4, true, &high).best_of(&[2], 1), Some(0));
        assert_eq!(leaving(&high).best_of(&[2], 0), Some(0));
        assert_eq!(leaving(&high).best_of(&[], 1), None);
    }

    #[test]
    fn a_part_that_cannot_be_used_is_not_scored() {
        with_files(|files| {
            files.write_part("a", 0, &part(Vec::new())).unwrap();
            files.write_part("a", 1, &part(vec![0])).unwrap();
            fs::write(files.part_file("a", 2, "json").unwrap().path(), "damaged").unwrap();
            let is_read = |part| files.read_part("a", part).unwrap().is_some();
            assert_eq!([0, 1, 2, 3].map(is_read), [true, false, false, false]);
            let listed = files.list_parts("a").unwrap();
            assert_eq!((listed.scored, listed.num_helpers), (BTreeSet::from([0, 1, 2]), 0));
            files.remove_group().unwrap();
            assert_eq!(files.list_parts("a").unwrap(), ListedParts::default());
        });
    }
}
