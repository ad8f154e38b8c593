//! The paths in the results folder.
//!
//! The folder `results/cells-v2/<stage>/<first two digits of the key>/` holds the record `<key>.json` of a
//! cell, its lease `<key>.lease`, and its folder `<key>`. The folder `a/<attempt>/` in the folder of the cell
//! holds the artifacts and the log of an attempt. Most cells are scores that a search computed, which have a
//! record only. Earlier versions of this program kept the record, the artifacts and the log in the folder of
//! the cell.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use dtr_core::error::{Error, Result};

use super::attempt::AttemptId;
use super::cell_id::{CellId, StageName};
use super::key::CellKey;

/// The folder of all cells. Its name holds the version of the folder layout.
const CELLS: &str = "cells-v2";

/// The folder in which earlier versions of this program kept cells.
const OLD_CELLS: &str = "cells-v1";

/// The ends of the names of the files beside the folder of a cell. The names begin with the key.
const RECORD: &str = ".json";
const CORRUPT: &str = ".json.corrupt";
const LEASE: &str = ".lease";

/// The names of the files and folders in the folder of a cell.
const SPEC: &str = "spec.json";
const EVENTS: &str = "events.jsonl";
const ATTEMPTS: &str = "a";
const CHECKPOINTS: &str = "checkpoint";

/// The files that earlier versions of this program wrote in the folder of a cell. They locked the file `lock`
/// while they worked on the cell.
const OLD_RECORD: &str = "record.json";
const OLD_CORRUPT: &str = "record.json.corrupt";
const OLD_LOCK: &str = "lock";

const RESERVED: [&str; 7] = [SPEC, EVENTS, ATTEMPTS, CHECKPOINTS, OLD_RECORD, OLD_CORRUPT, OLD_LOCK];

/// The results folder, which holds a folder for each cell.
#[derive(Clone, Debug)]
pub struct ResultsFolder {
    path: PathBuf,
}

impl ResultsFolder {
    /// Returns the results folder at `path`. Creates nothing.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Returns the folder of a cell, which need not exist.
    pub fn cell_folder(&self, cell: &CellId) -> CellFolder {
        let name = cell.key.to_string();
        CellFolder { path: self.stage_folder(&cell.stage).join(&name[..2]).join(&name) }
    }

    /// Returns the folder in which an earlier version of this program kept cells, if the folder exists. This
    /// version does not read that folder.
    pub fn find_old_cells_folder(&self) -> Option<PathBuf> {
        Some(self.path.join(OLD_CELLS)).filter(|folder| folder.is_dir())
    }

    fn stage_folder(&self, stage: &StageName) -> PathBuf {
        self.path.join(CELLS).join(stage.as_str())
    }

    /// Lists all cells that have a record, a lease or a folder, sorted by stage and key.
    pub fn list_cells(&self) -> Result<Vec<CellId>> {
        let mut cells = Vec::new();
        for stage in self.list_stages()? {
            cells.extend(self.list_cells_of(&stage)?);
        }
        Ok(cells)
    }

    /// Lists the cells of `stage` that have a record, a lease or a folder, sorted by key.
    pub fn list_cells_of(&self, stage: &StageName) -> Result<Vec<CellId>> {
        let mut keys: BTreeSet<CellKey> = BTreeSet::new();
        for shard in self.list_shards(stage)? {
            // Ignore names that begin with no key. This program did not create such files.
            let key = |name: &String| name.split('.').next()?.parse::<CellKey>().ok();
            keys.extend(names_in(&shard)?.iter().filter_map(key));
        }
        Ok(keys.into_iter().map(|key| CellId { stage: stage.clone(), key }).collect())
    }

    /// Lists the folders that hold the cells of all stages.
    pub(super) fn list_all_shards(&self) -> Result<Vec<PathBuf>> {
        let mut shards = Vec::new();
        for stage in self.list_stages()? {
            shards.extend(self.list_shards(&stage)?);
        }
        Ok(shards)
    }

    /// Lists the folders that hold the cells of a stage. Each holds the cells whose keys begin with the same
    /// two digits.
    fn list_shards(&self, stage: &StageName) -> Result<Vec<PathBuf>> {
        let folder = self.stage_folder(stage);
        Ok(names_in(&folder)?.into_iter().map(|name| folder.join(name)).collect())
    }

    fn list_stages(&self) -> Result<Vec<StageName>> {
        let names = names_in(&self.path.join(CELLS))?.into_iter();
        Ok(names.filter_map(|name| StageName::try_from(name).ok()).collect())
    }
}

/// The paths of the files of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFolder {
    path: PathBuf,
}

impl CellFolder {
    /// Returns the path of the folder of the cell.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the folder that holds the record, the lease and the folder of the cell.
    pub(super) fn shard(&self) -> &Path {
        self.path.parent().expect("the folder of a cell is in the folder of its stage")
    }

    /// Returns the path of a file beside the folder of the cell.
    fn path_beside(&self, end: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(end);
        path.into()
    }

    /// Returns the path at which this program writes the record. The record exists once the cell has ended.
    pub fn record_path(&self) -> PathBuf {
        self.path_beside(RECORD)
    }

    /// Returns the path at which earlier versions of this program wrote the record.
    pub fn old_record_path(&self) -> PathBuf {
        self.path.join(OLD_RECORD)
    }

    /// Returns the path of the record on disk, whichever version of this program wrote it. Returns the path
    /// of a new record if there is none.
    pub fn find_record_path(&self) -> PathBuf {
        let (new, old) = (self.record_path(), self.old_record_path());
        if !new.exists() && old.exists() { old } else { new }
    }

    /// Returns the path to which a damaged record is renamed when its cell is computed again.
    pub fn corrupt_record_path(&self) -> PathBuf {
        self.path_beside(CORRUPT)
    }

    /// Returns the path to which earlier versions of this program renamed a damaged record.
    pub(super) fn old_corrupt_record_path(&self) -> PathBuf {
        self.path.join(OLD_CORRUPT)
    }

    /// Returns the path of the cell's specification.
    pub fn spec_path(&self) -> PathBuf {
        self.path.join(SPEC)
    }

    /// Returns the folder of the files of an attempt. `None` is an attempt of an earlier version of this
    /// program, whose files are in the folder of the cell.
    pub fn attempt_folder(&self, attempt: Option<&AttemptId>) -> PathBuf {
        match attempt {
            Some(attempt) => self.path.join(ATTEMPTS).join(attempt.as_str()),
            None => self.path.clone(),
        }
    }

    /// Returns the path of the log of an attempt.
    pub fn event_log_path(&self, attempt: Option<&AttemptId>) -> PathBuf {
        self.attempt_folder(attempt).join(EVENTS)
    }

    /// Returns the path of the lease, which exists while a process works on the cell.
    pub fn lease_path(&self) -> PathBuf {
        self.path_beside(LEASE)
    }

    /// Returns the folder of checkpoints, which is removed once the cell is done.
    pub fn checkpoint_folder(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Returns the path of an artifact of an attempt.
    ///
    /// # Errors
    /// Fails if `name` leads out of the folder, or if the store uses the name for one of its own files.
    pub fn artifact_path(&self, attempt: Option<&AttemptId>, name: &str) -> Result<PathBuf> {
        check_file_name(name)?;
        match RESERVED.contains(&name) {
            true => Err(Error::failed(format!(
                "an artifact cannot be called `{name}`: the store has a file of that name"
            ))),
            false => Ok(self.attempt_folder(attempt).join(name)),
        }
    }

    /// Returns the path of a checkpoint.
    ///
    /// # Errors
    /// Fails if `name` leads out of the folder.
    pub fn checkpoint_path(&self, name: &str) -> Result<PathBuf> {
        check_file_name(name)?;
        Ok(self.checkpoint_folder().join(name))
    }

    /// Lists the attempts that have a folder, sorted by id.
    pub(super) fn list_attempts(&self) -> Result<Vec<AttemptId>> {
        let names = names_in(&self.path.join(ATTEMPTS))?.into_iter();
        Ok(names.filter_map(|name| AttemptId::try_from(name).ok()).collect())
    }

    /// Lists the paths of the logs of all attempts. Logs of earlier versions of this program come first.
    pub(super) fn list_event_logs(&self) -> Result<Vec<PathBuf>> {
        let attempts = self.list_attempts()?;
        let logs = std::iter::once(None).chain(attempts.iter().map(Some));
        Ok(logs.map(|attempt| self.event_log_path(attempt)).filter(|log| log.exists()).collect())
    }

    /// Lists the paths of the files and folders in the folder of the cell, without the lock of an earlier
    /// version of this program.
    pub(super) fn list_contents(&self) -> Result<Vec<PathBuf>> {
        let names = names_in(&self.path)?.into_iter().filter(|name| name != OLD_LOCK);
        Ok(names.map(|name| self.path.join(name)).collect())
    }

    /// Removes the folder of the cell and those of its attempts if they are empty.
    pub(super) fn remove_empty_folders(&self) -> Result<()> {
        let attempts = self.list_attempts()?;
        let attempts = attempts.iter().map(|attempt| self.attempt_folder(Some(attempt)));
        for folder in attempts.chain([self.path.join(ATTEMPTS), self.path.clone()]) {
            match fs::remove_dir(&folder) {
                Err(cause) if !matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                    return Err(Error::io("remove", &folder, cause));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lists the paths of the files of an attempt except its log.
    pub(super) fn list_artifacts(&self, attempt: &AttemptId) -> Result<Vec<PathBuf>> {
        let folder = self.attempt_folder(Some(attempt));
        let names = names_in(&folder)?.into_iter().filter(|name| name != EVENTS);
        Ok(names.map(|name| folder.join(name)).collect())
    }
}

/// Checks that `name` does not lead out of a cell's folder.
fn check_file_name(name: &str) -> Result<()> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(()),
        _ => Err(Error::failed(format!("`{name}` is not a plain file name"))),
    }
}

/// Lists the names in a folder, sorted. A folder that does not exist has no names.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let names = || -> std::io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    match names() {
        Ok(mut names) => {
            names.sort();
            Ok(names)
        }
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(cause) => Err(Error::io("list", folder, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_store::{self, SCORE};
    use super::*;
    use dtr_core::files;

    #[test]
    fn a_cell_lies_under_its_stage_and_the_first_digits_of_its_key() {
        let cell = test_store::cell("cell");
        let folder = ResultsFolder::new(Path::new("results")).cell_folder(&cell);
        let key = cell.key.to_string();
        let expected = format!("results/cells-v2/score/{}/{key}.json", &key[..2]);
        assert_eq!(folder.record_path(), Path::new(&expected));
    }

    #[test]
    fn cells_are_listed_by_key_and_other_files_are_ignored() {
        let results = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::new(results.path());
        assert!(folder.list_cells_of(&SCORE).unwrap().is_empty());
        let mut cells = ["a", "b", "c"].map(test_store::cell);
        let [first, second, third] = cells.each_ref().map(|cell| folder.cell_folder(cell));
        files::create_folder(first.path()).unwrap();
        for path in [second.record_path(), second.lease_path(), third.lease_path()] {
            files::write_bytes_atomically(&path, b"").unwrap();
        }
        fs::write(results.path().join("cells-v2/score/notes.txt"), "mine").unwrap();
        files::create_folder(&results.path().join("cells-v2/score/ab/other")).unwrap();
        files::create_folder(&results.path().join("cells-v2/Not A Stage")).unwrap();
        cells.sort();
        assert_eq!(folder.list_cells_of(&SCORE).unwrap(), cells);
        assert_eq!(folder.list_cells().unwrap(), cells);
    }

    #[test]
    fn an_artifact_stays_in_its_folder_and_replaces_no_file_of_the_store() {
        let folder = ResultsFolder::new(Path::new("results")).cell_folder(&test_store::cell("cell"));
        for name in ["", ".", "..", "../x", "a/b", "a/", "/etc/x", "record.json", "a"] {
            assert!(folder.artifact_path(None, name).is_err(), "{name}");
        }
        let path = |attempt| folder.artifact_path(attempt, "twins.safetensors").unwrap();
        assert_eq!(path(None), folder.path().join("twins.safetensors"));
        let attempt = AttemptId::of_this_process();
        let expected = format!("a/{attempt}/twins.safetensors");
        assert_eq!(path(Some(attempt)), folder.path().join(expected));
    }
}
