//! Finds and deletes files in the results folder that no record needs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::IgnoredAny;

use dtr_core::error::Result;
use dtr_core::files::{self, FileLock};

use super::Store;
use super::cell_id::CellId;
use super::folders::CellFolder;
use super::record::{self, Outcome, RecordOnDisk};

/// A file or folder that no record needs, in the folder of a cell on which no process works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The cell.
    pub cell: CellId,
    /// The reason why the file or folder can be deleted.
    pub kind: LeftoverKind,
    /// The file or folder.
    pub path: PathBuf,
    /// The size of the file, or of all files in the folder.
    pub bytes: u64,
}

/// The reason why a file or folder can be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftoverKind {
    /// A file of a cell without a record, such as a checkpoint from which a sweep would resume.
    Unfinished,
    /// The checkpoint folder of a cell that is done.
    Checkpoint,
    /// A damaged record, which was renamed when its cell was computed again.
    CorruptRecord,
    /// A temporary file of a write that a crash interrupted.
    Temporary,
}

impl Store {
    /// Lists the files that [`Store::delete_leftovers`] would delete. Changes nothing.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed, or if a record is of a newer format.
    pub fn find_leftovers(&self) -> Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        for cell in self.results_folder().list_cells()? {
            let folder = self.cell_folder(&cell);
            if !FileLock::is_held(&folder.lock_path())? {
                leftovers.extend(leftovers_of(&cell, &folder)?);
            }
        }
        Ok(leftovers)
    }

    /// Deletes the files that no record needs, and returns a list of the deleted files. Skips cells that a
    /// process works on.
    ///
    /// # Errors
    /// Fails as [`Store::find_leftovers`] does, and if a file cannot be deleted.
    pub fn delete_leftovers(&self) -> Result<Vec<Leftover>> {
        let mut deleted = Vec::new();
        for cell in self.results_folder().list_cells()? {
            let folder = self.cell_folder(&cell);
            if leftovers_of(&cell, &folder)?.is_empty() {
                continue;
            }
            // Hold the lock and list the files again, because another process may have claimed or finished
            // the cell meanwhile.
            let Some(_lock) = FileLock::try_acquire(&folder.lock_path())? else { continue };
            for leftover in leftovers_of(&cell, &folder)? {
                files::remove_file_or_folder_if_present(&leftover.path)?;
                deleted.push(leftover);
            }
        }
        Ok(deleted)
    }
}

fn leftovers_of(cell: &CellId, folder: &CellFolder) -> Result<Vec<Leftover>> {
    let (has_record, is_done) = match record::read::<IgnoredAny>(&folder.record_path(), cell)? {
        RecordOnDisk::Missing => (false, false),
        RecordOnDisk::Corrupt(_) => (true, false),
        RecordOnDisk::Valid(record) => (true, matches!(record.outcome, Outcome::Done(_))),
    };
    let kind = |path: &Path| match path {
        path if files::is_temporary_file(path) => Some(LeftoverKind::Temporary),
        path if *path == folder.corrupt_record_path() => Some(LeftoverKind::CorruptRecord),
        _ if !has_record => Some(LeftoverKind::Unfinished),
        path if is_done && *path == folder.checkpoint_folder() => Some(LeftoverKind::Checkpoint),
        _ => None,
    };
    let leftover = |path: PathBuf| {
        Some(Leftover { cell: cell.clone(), kind: kind(&path)?, bytes: size_of(&path), path })
    };
    Ok(folder.list_contents()?.into_iter().filter_map(leftover).collect())
}

/// Returns the size of a file, or of all files in a folder. A file that cannot be read counts as empty.
fn size_of(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size_of(&entry.path())).sum(),
        Err(_) => fs::symlink_metadata(path).map_or(0, |metadata| metadata.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lookup::Lookup;
    use super::super::test_store::{TestStore, cell};
    use super::*;

    #[test]
    fn unfinished_work_is_deleted_and_records_and_running_cells_are_not() {
        let test = TestStore::new();
        test.finish("done", 0.5);
        let running = test.claim("running").unwrap();
        running.checkpoint("step-1").unwrap().write(b"half").unwrap();
        let unfinished = test.claim("unfinished").unwrap();
        unfinished.checkpoint("step-1").unwrap().write(b"half").unwrap();
        drop(unfinished);
        let path = test.folder("unfinished").checkpoint_folder();
        let kind = LeftoverKind::Unfinished;
        // A checkpoint has a digest of 65 bytes before its content.
        let expected = [Leftover { cell: cell("unfinished"), kind, path, bytes: 65 + 4 }];
        assert_eq!(test.store.find_leftovers().unwrap(), expected);
        assert_eq!(test.store.delete_leftovers().unwrap(), expected);
        assert!(test.store.find_leftovers().unwrap().is_empty());
        assert!(matches!(test.find("done"), Lookup::Done(_)));
        assert!(running.checkpoint("step-1").unwrap().path().exists());
        assert!(test.claim("unfinished").is_some());
    }

    #[test]
    fn the_checkpoint_of_a_done_cell_is_deleted_and_that_of_a_failed_one_is_not() {
        let test = TestStore::new();
        test.finish("done", 0.5);
        test.fail("failed", "disk full");
        for name in ["done", "failed"] {
            test.claim(name).unwrap().checkpoint("step-1").unwrap().write(b"half").unwrap();
        }
        let deleted = test.store.delete_leftovers().unwrap();
        assert_eq!(deleted.len(), 1);
        assert_eq!(
            (deleted[0].kind, &deleted[0].path),
            (LeftoverKind::Checkpoint, &test.folder("done").checkpoint_folder())
        );
    }

    #[test]
    fn a_corrupt_record_and_a_temporary_file_are_deleted_beside_a_record() {
        let test = TestStore::new();
        test.finish("a", 0.5);
        let folder = test.folder("a");
        fs::write(folder.corrupt_record_path(), "{").unwrap();
        fs::write(folder.path().join(".dtr-tmp-x"), "torn").unwrap();
        let kinds: Vec<LeftoverKind> =
            test.store.delete_leftovers().unwrap().iter().map(|file| file.kind).collect();
        assert_eq!(kinds, [LeftoverKind::Temporary, LeftoverKind::CorruptRecord]);
        assert!(matches!(test.find("a"), Lookup::Done(_)) && folder.spec_path().exists());
    }
}
