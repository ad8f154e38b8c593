//! The paths in the results folder. The folder of a cell is
//! `results/cells-v2/<stage>/<first two digits of the key>/<key>/`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use dtr_core::error::{Error, Result};

use super::cell_id::{CellId, StageName};
use super::key::CellKey;

/// The folder of all cells. Its name holds the version of the folder layout.
const CELLS: &str = "cells-v2";

/// The folder in which earlier versions of this program kept cells.
const OLD_CELLS: &str = "cells-v1";

const RECORD: &str = "record.json";
const CORRUPT: &str = "record.json.corrupt";
const SPEC: &str = "spec.json";
const EVENTS: &str = "events.jsonl";
const LOCK: &str = "lock";
const CHECKPOINTS: &str = "checkpoint";
const RESERVED: [&str; 6] = [RECORD, CORRUPT, SPEC, EVENTS, LOCK, CHECKPOINTS];

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

    /// Lists all cells that have a folder, sorted by stage and key.
    pub fn list_cells(&self) -> Result<Vec<CellId>> {
        let mut cells = Vec::new();
        for name in names_in(&self.path.join(CELLS))? {
            if let Ok(stage) = StageName::try_from(name) {
                cells.extend(self.list_cells_of(&stage)?);
            }
        }
        Ok(cells)
    }

    /// Lists the cells of `stage` that have a folder, sorted by key.
    pub fn list_cells_of(&self, stage: &StageName) -> Result<Vec<CellId>> {
        let mut keys: Vec<CellKey> = Vec::new();
        let folder = self.stage_folder(stage);
        for shard in names_in(&folder)? {
            // Ignore names that are not keys. This program did not create such files.
            keys.extend(
                names_in(&folder.join(shard))?.iter().filter_map(|name| name.parse::<CellKey>().ok()),
            );
        }
        keys.sort_unstable();
        Ok(keys.into_iter().map(|key| CellId { stage: stage.clone(), key }).collect())
    }
}

/// The folder of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFolder {
    path: PathBuf,
}

impl CellFolder {
    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the record, which exists once the cell has ended.
    pub fn record_path(&self) -> PathBuf {
        self.path.join(RECORD)
    }

    /// Returns the path to which a damaged record is renamed when its cell is computed again.
    pub fn corrupt_record_path(&self) -> PathBuf {
        self.path.join(CORRUPT)
    }

    /// Returns the path of the cell's specification.
    pub fn spec_path(&self) -> PathBuf {
        self.path.join(SPEC)
    }

    /// Returns the path of the log.
    pub fn event_log_path(&self) -> PathBuf {
        self.path.join(EVENTS)
    }

    /// Returns the path of the file that a running process locks. The file is never removed.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    /// Returns the folder of checkpoints, which is removed once the cell is done.
    pub fn checkpoint_folder(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Returns the path of an artifact.
    ///
    /// # Errors
    /// Fails if `name` leads out of the folder, or if the store uses the name for one of its own files.
    pub fn artifact_path(&self, name: &str) -> Result<PathBuf> {
        check_file_name(name)?;
        match RESERVED.contains(&name) {
            true => Err(Error::failed(format!(
                "an artifact cannot be called `{name}`: the store has a file of that name"
            ))),
            false => Ok(self.path.join(name)),
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

    /// Lists the paths of the files and folders in this folder, without the lock.
    pub(super) fn list_contents(&self) -> Result<Vec<PathBuf>> {
        let names = names_in(&self.path)?.into_iter().filter(|name| name != LOCK);
        Ok(names.map(|name| self.path.join(name)).collect())
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
        let expected = format!("results/cells-v2/score/{}/{key}/record.json", &key[..2]);
        assert_eq!(folder.record_path(), Path::new(&expected));
    }

    #[test]
    fn cells_are_listed_by_key_and_other_files_are_ignored() {
        let results = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::new(results.path());
        assert!(folder.list_cells_of(&SCORE).unwrap().is_empty());
        let mut cells = ["a", "b", "c"].map(test_store::cell);
        for cell in &cells {
            files::create_folder(folder.cell_folder(cell).path()).unwrap();
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
        for name in ["", ".", "..", "../x", "a/b", "a/", "/etc/x", "record.json", "lock"] {
            assert!(folder.artifact_path(name).is_err(), "{name}");
        }
        assert_eq!(
            folder.artifact_path("twins.safetensors").unwrap(),
            folder.path().join("twins.safetensors")
        );
    }
}
