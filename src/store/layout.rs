//! Where things lie: `results/cells-v1/<stage>/<first two digits>/<key>/`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use dtr_core::error::{Error, Result};

use super::key::Key;
use super::stage::Stage;

/// The folder of all cells; its name carries the version of the layout below it.
const CELLS: &str = "cells-v1";

const RECORD: &str = "record.json";
const CORRUPT: &str = "record.json.corrupt";
const SPEC: &str = "spec.json";
const EVENTS: &str = "events.jsonl";
const LOCK: &str = "lock";
const CHECKPOINTS: &str = "checkpoint";
const RESERVED: [&str; 6] = [RECORD, CORRUPT, SPEC, EVENTS, LOCK, CHECKPOINTS];

/// The folders of a results folder.
#[derive(Clone, Debug)]
pub struct Layout {
    cells: PathBuf,
}

impl Layout {
    /// The layout of the results folder at `results`; creates nothing.
    pub fn new(results: &Path) -> Self {
        Self { cells: results.join(CELLS) }
    }

    /// The folder of a cell, whether it is there or not.
    pub fn cell(&self, stage: Stage, key: &Key) -> CellFolder {
        let name = key.to_string();
        CellFolder { path: self.cells.join(stage.name()).join(&name[..2]).join(&name) }
    }

    /// The cells of `stage` that have a folder, in the order of their keys.
    pub fn cells(&self, stage: Stage) -> Result<Vec<(Key, CellFolder)>> {
        let mut cells = Vec::new();
        for shard in names_in(&self.cells.join(stage.name()))? {
            for name in names_in(&self.cells.join(stage.name()).join(shard))? {
                // Anything that is not called as a cell is someone else's: left alone.
                cells.extend(name.parse::<Key>().map(|key| (key, self.cell(stage, &key))));
            }
        }
        cells.sort_by_key(|(key, _)| *key);
        Ok(cells)
    }
}

/// The folder of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFolder {
    path: PathBuf,
}

impl CellFolder {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What became of the cell; there once it has ended.
    pub fn record(&self) -> PathBuf {
        self.path.join(RECORD)
    }

    /// A record that was found damaged, kept aside when its cell ended anew.
    pub fn corrupt(&self) -> PathBuf {
        self.path.join(CORRUPT)
    }

    /// What the cell is to do, for people and for `plan`'s reasons.
    pub fn spec(&self) -> PathBuf {
        self.path.join(SPEC)
    }

    /// What happened on the way, a line for each event.
    pub fn events(&self) -> PathBuf {
        self.path.join(EVENTS)
    }

    /// The file whose lock means that the cell is running. It is never removed.
    pub fn lock(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    /// The folder of unfinished work; gone once the cell is done.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The file of an artifact; `name` is a plain file name.
    pub fn artifact(&self, name: &str) -> Result<PathBuf> {
        plain(name)?;
        match RESERVED.contains(&name) {
            true => Err(Error::failed(format!("`{name}` is not a name for an artifact: the store uses it"))),
            false => Ok(self.path.join(name)),
        }
    }

    /// The file of a checkpoint; `name` is a plain file name.
    pub fn checkpoint(&self, name: &str) -> Result<PathBuf> {
        plain(name)?;
        Ok(self.checkpoints().join(name))
    }

    /// What lies in the folder besides the lock.
    pub(super) fn contents(&self) -> Result<Vec<PathBuf>> {
        let names = names_in(&self.path)?.into_iter().filter(|name| name != LOCK);
        Ok(names.map(|name| self.path.join(name)).collect())
    }
}

/// Refuses names that lead out of a cell's folder.
fn plain(name: &str) -> Result<()> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(()),
        _ => Err(Error::failed(format!("`{name}` is not a plain file name"))),
    }
}

/// The names in a folder, in order; none when it is not there.
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
    use super::super::fixtures;
    use super::*;

    #[test]
    fn a_cell_lies_under_its_stage_and_the_first_digits_of_its_key() {
        let key = fixtures::key("cell");
        let folder = Layout::new(Path::new("results")).cell(Stage::Score, &key);
        let expected = format!("results/cells-v1/score/{}/{key}/record.json", &key.to_string()[..2]);
        assert_eq!(folder.record(), Path::new(&expected));
    }

    #[test]
    fn cells_are_listed_by_key_and_strangers_are_passed_over() {
        let results = tempfile::tempdir().unwrap();
        let layout = Layout::new(results.path());
        assert!(layout.cells(Stage::Score).unwrap().is_empty());
        let mut keys = ["a", "b", "c"].map(fixtures::key);
        for key in &keys {
            dtr_core::files::create_folder(layout.cell(Stage::Score, key).path()).unwrap();
        }
        fs::write(results.path().join("cells-v1/score/notes.txt"), "mine").unwrap();
        dtr_core::files::create_folder(&results.path().join("cells-v1/score/ab/other")).unwrap();
        keys.sort();
        let listed: Vec<Key> = layout.cells(Stage::Score).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(listed, keys);
    }

    #[test]
    fn artifacts_stay_in_their_folder_and_off_the_stores_own_files() {
        let folder = Layout::new(Path::new("results")).cell(Stage::Score, &fixtures::key("cell"));
        for name in ["", ".", "..", "../x", "a/b", "a/", "/etc/x", "record.json", "lock"] {
            assert!(folder.artifact(name).is_err(), "{name}");
        }
        assert_eq!(folder.artifact("twins.safetensors").unwrap(), folder.path().join("twins.safetensors"));
    }
}
