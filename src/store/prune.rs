//! What unfinished work left behind: checkpoints, logs and artifacts that no record speaks of.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use dtr_core::error::Result;
use dtr_core::files::{self, FileLock};

use super::key::Key;
use super::layout::CellFolder;
use super::lookup::Store;
use super::record::{self, Outcome, Reading};
use super::stage::Stage;

/// The remains of a cell that nobody works on. Removing them costs the next run what they saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The kind of work.
    pub stage: Stage,
    /// The cell's key.
    pub key: Key,
    /// The files and folders that can go.
    pub paths: Vec<PathBuf>,
    /// Their size.
    pub bytes: u64,
}

impl Store {
    /// The leftovers in the store; changes nothing.
    pub fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        for stage in Stage::ALL {
            for (key, folder) in self.layout().cells(stage)? {
                if !FileLock::is_held(&folder.lock())? {
                    leftovers.extend(leftover(stage, key, &folder)?);
                }
            }
        }
        Ok(leftovers)
    }

    /// Removes the leftovers, and says what they were.
    pub fn prune(&self) -> Result<Vec<Leftover>> {
        let mut pruned = Vec::new();
        for Leftover { stage, key, .. } in self.leftovers()? {
            let folder = self.layout().cell(stage, &key);
            // Someone may have taken the cell up or ended it since the list was made.
            let Some(_lock) = FileLock::try_acquire(&folder.lock())? else { continue };
            if let Some(leftover) = leftover(stage, key, &folder)? {
                leftover.paths.iter().try_for_each(|path| files::remove_if_present(path))?;
                pruned.push(leftover);
            }
        }
        Ok(pruned)
    }
}

fn leftover(stage: Stage, key: Key, folder: &CellFolder) -> Result<Option<Leftover>> {
    let paths = removable(stage, key, folder)?;
    let bytes = paths.iter().map(|path| bytes_of(path)).sum();
    Ok((!paths.is_empty()).then_some(Leftover { stage, key, paths, bytes }))
}

/// Everything but the lock where there is no record; where the cell is done, its checkpoints.
fn removable(stage: Stage, key: Key, folder: &CellFolder) -> Result<Vec<PathBuf>> {
    if !folder.record().exists() {
        return folder.contents();
    }
    let checkpoints = folder.checkpoints();
    if !checkpoints.exists() {
        return Ok(Vec::new());
    }
    Ok(match record::read::<IgnoredAny>(&folder.record(), stage, &key)? {
        Reading::Whole(record) if matches!(record.outcome, Outcome::Done(_)) => vec![checkpoints],
        _ => Vec::new(),
    })
}

/// The size of a file or of all files in a folder; what cannot be read counts nothing.
fn bytes_of(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| bytes_of(&entry.path())).sum(),
        Err(_) => fs::symlink_metadata(path).map_or(0, |metadata| metadata.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{self, Shelf};
    use super::super::lookup::Lookup;
    use super::*;

    #[test]
    fn unfinished_work_is_a_leftover_and_records_and_running_cells_are_not() {
        let shelf = Shelf::new();
        shelf.finish("done", Outcome::Done(0.5));
        let running = shelf.claim("running").unwrap();
        running.checkpoint("step-1").unwrap().write(b"half").unwrap();
        let dropped = shelf.claim("dropped").unwrap();
        fs::write(dropped.checkpoint("step-1").unwrap().path(), "half").unwrap();
        drop(dropped);
        let paths = vec![shelf.folder("dropped").checkpoints()];
        let key = fixtures::key("dropped");
        let expected = [Leftover { stage: Stage::Score, key, paths, bytes: 4 }];
        assert_eq!(shelf.store.leftovers().unwrap(), expected);
        assert_eq!(shelf.store.prune().unwrap(), expected);
        assert!(shelf.store.leftovers().unwrap().is_empty());
        assert!(matches!(shelf.find("done"), Lookup::Done(_)));
        assert!(running.checkpoint("step-1").unwrap().path().exists());
        assert!(shelf.claim("dropped").is_some());
    }

    #[test]
    fn the_checkpoint_of_a_done_cell_is_a_leftover_and_that_of_a_failed_one_is_not() {
        let shelf = Shelf::new();
        shelf.finish("done", Outcome::Done(0.5));
        shelf.finish("failed", Outcome::Failed { error: "disk full".to_owned() });
        for name in ["done", "failed"] {
            shelf.claim(name).unwrap().checkpoint("step-1").unwrap();
        }
        let pruned = shelf.store.prune().unwrap();
        assert_eq!(pruned.len(), 1);
        assert_eq!(pruned[0].paths, [shelf.folder("done").checkpoints()]);
    }
}
