//! Finds and deletes files in the results folder that no record needs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::IgnoredAny;

use dtr_core::error::Result;
use dtr_core::files;

use super::Store;
use super::cell_id::CellId;
use super::folders::CellFolder;
use super::lease::LeaseState;
use super::record::{self, Outcome, RecordOnDisk};

/// A file or folder that no record needs. No process works on its cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The cell. `None` for a file whose name does not tell the cell.
    pub cell: Option<CellId>,
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
    /// An artifact of an attempt whose result is not the recorded one.
    OtherAttempt,
    /// The lease of a process that has ended.
    StaleLease,
}

impl Store {
    /// Lists the files that [`Store::delete_leftovers`] would delete. Changes nothing.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed, or if a record is of a newer format.
    pub fn find_leftovers(&self) -> Result<Vec<Leftover>> {
        let mut leftovers = self.find_temporary_files()?;
        for cell in self.results_folder().list_cells()? {
            if !self.is_running(&cell)? {
                leftovers.extend(self.find_stale_lease(&cell)?);
                leftovers.extend(leftovers_of(&cell, &self.cell_folder(&cell))?);
            }
        }
        Ok(leftovers)
    }

    /// Deletes the files that no record needs, and returns a list of the deleted files. Skips cells that a
    /// process works on. If nothing else is in the folder of a cell, deletes the folder too.
    ///
    /// # Errors
    /// Fails as [`Store::find_leftovers`] does, and if a file cannot be deleted.
    pub fn delete_leftovers(&self) -> Result<Vec<Leftover>> {
        let mut deleted = self.find_temporary_files()?;
        for file in &deleted {
            files::remove_file_or_folder_if_present(&file.path)?;
        }
        for cell in self.results_folder().list_cells()? {
            let (folder, lease) = (self.cell_folder(&cell), self.find_stale_lease(&cell)?);
            if lease.is_none() && leftovers_of(&cell, &folder)?.is_empty() {
                continue;
            }
            // Hold the claim and list the files again, because another process may have claimed or finished
            // the cell meanwhile. The claim replaces a stale lease and removes its own.
            let Some(_claim) = self.try_claim(&cell)? else { continue };
            deleted.extend(lease);
            for leftover in leftovers_of(&cell, &folder)? {
                files::remove_file_or_folder_if_present(&leftover.path)?;
                deleted.push(leftover);
            }
            folder.remove_empty_folders()?;
        }
        Ok(deleted)
    }

    /// Lists the abandoned temporary files of records and leases.
    fn find_temporary_files(&self) -> Result<Vec<Leftover>> {
        let mut temporary = Vec::new();
        for shard in self.results_folder().list_all_shards()? {
            temporary.extend(files::find_abandoned_temporary_files(&shard)?);
        }
        let leftover = |path| Leftover::new(None, LeftoverKind::Temporary, path);
        Ok(temporary.into_iter().map(leftover).collect())
    }

    fn find_stale_lease(&self, cell: &CellId) -> Result<Option<Leftover>> {
        let is_stale = matches!(self.lease_state(cell)?, LeaseState::Stale(_));
        let path = self.cell_folder(cell).lease_path();
        Ok(is_stale.then(|| Leftover::new(Some(cell), LeftoverKind::StaleLease, path)))
    }
}

impl Leftover {
    fn new(cell: Option<&CellId>, kind: LeftoverKind, path: PathBuf) -> Self {
        Self { cell: cell.cloned(), kind, bytes: size_of(&path), path }
    }
}

fn leftovers_of(cell: &CellId, folder: &CellFolder) -> Result<Vec<Leftover>> {
    let on_disk = record::read::<IgnoredAny>(folder, cell)?;
    let has_record = !matches!(on_disk, RecordOnDisk::Missing);
    let record = match on_disk {
        RecordOnDisk::Valid(record) => Some(record),
        RecordOnDisk::Missing | RecordOnDisk::Corrupt(_) => None,
    };
    let is_done = record.as_ref().is_some_and(|record| matches!(record.outcome, Outcome::Done(_)));
    let kind = |path: &Path| match path {
        path if files::is_temporary_file(path) => {
            files::is_abandoned(path).then_some(LeftoverKind::Temporary)
        }
        path if *path == folder.old_corrupt_record_path() => Some(LeftoverKind::CorruptRecord),
        _ if !has_record => Some(LeftoverKind::Unfinished),
        path if is_done && *path == folder.checkpoint_folder() => Some(LeftoverKind::Checkpoint),
        _ => None,
    };
    let leftover = |path: PathBuf, kind| Leftover::new(Some(cell), kind, path);
    let contents = folder.list_contents()?.into_iter();
    let mut leftovers: Vec<Leftover> =
        contents.filter_map(|path| kind(&path).map(|kind| leftover(path, kind))).collect();
    let corrupt = Some(folder.corrupt_record_path()).filter(|path| path.exists());
    leftovers.extend(corrupt.map(|path| leftover(path, LeftoverKind::CorruptRecord)));
    // Without a valid record, it is not known which attempt is needed.
    let is_needed = |attempt| record.as_ref().is_none_or(|record| record.attempt.as_ref() == Some(attempt));
    for attempt in folder.list_attempts()?.iter().filter(|attempt| !is_needed(attempt)) {
        let artifacts = folder.list_artifacts(attempt)?.into_iter();
        leftovers.extend(artifacts.map(|path| leftover(path, LeftoverKind::OtherAttempt)));
    }
    Ok(leftovers)
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
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::super::attempt::AttemptId;
    use super::super::event_log::{EventKind, EventLog};
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
        let expected = [Leftover { cell: Some(cell("unfinished")), kind, path, bytes: 65 + 4 }];
        assert_eq!(test.store.find_leftovers().unwrap(), expected);
        assert_eq!(test.store.delete_leftovers().unwrap(), expected);
        assert!(test.store.find_leftovers().unwrap().is_empty());
        assert!(matches!(test.find("done"), Lookup::Done(_)));
        assert!(running.checkpoint("step-1").unwrap().path().exists());
        assert!(!test.folder("unfinished").path().exists(), "an empty folder stays");
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
        let torn = folder.shard().join(".dtr-tmp-x");
        fs::write(&torn, "torn").unwrap();
        // Another host may still write a temporary file with the name of an unknown writer.
        let old = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
        File::options().write(true).open(torn).unwrap().set_modified(old).unwrap();
        let kinds: Vec<LeftoverKind> =
            test.store.delete_leftovers().unwrap().iter().map(|file| file.kind).collect();
        assert_eq!(kinds, [LeftoverKind::Temporary, LeftoverKind::CorruptRecord]);
        assert!(matches!(test.find("a"), Lookup::Done(_)) && folder.spec_path().exists());
    }

    #[test]
    fn the_artifacts_of_other_attempts_are_deleted_and_their_logs_are_not() {
        let test = TestStore::new();
        let record = test.finish("a", 0.5);
        let other = AttemptId::try_from("00000000000000aa".to_owned()).unwrap();
        let folder = test.folder("a");
        let log = folder.event_log_path(Some(&other));
        files::create_folder(log.parent().unwrap()).unwrap();
        EventLog::open(&log).unwrap().append(EventKind::Started).unwrap();
        fs::write(folder.artifact_path(Some(&other), "twins").unwrap(), "weights").unwrap();
        let deleted = test.store.delete_leftovers().unwrap();
        let kinds: Vec<LeftoverKind> = deleted.iter().map(|file| file.kind).collect();
        assert_eq!(kinds, [LeftoverKind::OtherAttempt]);
        assert!(log.exists() && !folder.artifact_path(Some(&other), "twins").unwrap().exists());
        assert_eq!(test.find("a"), Lookup::Done(record));
    }
}
