//! Exclusive access to a cell.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files::{self, FileLock};

use super::Store;
use super::cell_id::CellId;
use super::event_log::EventLog;
use super::folders::CellFolder;
use super::record;

/// Pause between two attempts of [`Store::claim_blocking`].
const WAIT_PAUSE: Duration = Duration::from_millis(200);

/// The exclusive right to work on a cell. The right ends when the claim is dropped or the process dies.
#[derive(Debug)]
pub struct Claim {
    pub(super) id: CellId,
    pub(super) folder: CellFolder,
    _lock: FileLock,
}

impl Claim {
    pub(super) fn new(id: CellId, folder: CellFolder, lock: FileLock) -> Self {
        Self { id, folder, _lock: lock }
    }

    /// Returns the cell's folder.
    pub fn folder_path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path at which to write an artifact. [`super::NewRecord::artifacts`] must name the artifact
    /// too.
    pub fn artifact_path(&self, name: &str) -> Result<PathBuf> {
        self.folder.artifact_path(name)
    }

    /// Returns the checkpoint `name` of the cell. [`Claim::finish`] removes all checkpoints.
    pub fn checkpoint(&self, name: &str) -> Result<CheckpointFile> {
        Ok(CheckpointFile::new(self.folder.checkpoint_path(name)?, self.id.key.to_string()))
    }

    /// Opens the cell's log for appending.
    pub fn open_event_log(&self) -> Result<EventLog> {
        EventLog::open(&self.folder.event_log_path())
    }

    /// Returns whether the cell has a log.
    pub fn has_event_log(&self) -> bool {
        self.folder.event_log_path().exists()
    }
}

impl Store {
    /// Claims a cell for this process. Returns `None` if another process has claimed the cell.
    ///
    /// After you claim a cell, call [`Store::find`] again, because another process may just have finished the
    /// cell.
    ///
    /// # Errors
    /// Fails if the folder cannot be written, or if the cell's record is of a newer format. This program must
    /// not replace such a record.
    pub fn try_claim(&self, cell: &CellId) -> Result<Option<Claim>> {
        if self.is_archive() {
            return Err(Error::failed(format!("cannot work on {cell}: published results are read-only")));
        }
        let folder = self.cell_folder(cell);
        record::read::<IgnoredAny>(&folder.record_path(), cell)?;
        let Some(lock) = FileLock::try_acquire(&folder.lock_path())? else { return Ok(None) };
        files::remove_temporary_files(folder.path())?;
        Ok(Some(Claim::new(cell.clone(), folder, lock)))
    }

    /// Claims a cell. Waits while another process works on the cell.
    ///
    /// After each attempt that finds the cell claimed, calls `on_wait` with the time waited so far. An error
    /// from `on_wait` ends the wait.
    ///
    /// # Errors
    /// Fails as [`Store::try_claim`] does, and with the error of `on_wait`.
    pub fn claim_blocking(
        &self,
        cell: &CellId,
        mut on_wait: impl FnMut(Duration) -> Result<()>,
    ) -> Result<Claim> {
        let start = Instant::now();
        loop {
            if let Some(claim) = self.try_claim(cell)? {
                return Ok(claim);
            }
            on_wait(start.elapsed())?;
            std::thread::sleep(WAIT_PAUSE);
        }
    }

    /// Returns whether this process or another process works on a cell.
    pub fn is_running(&self, cell: &CellId) -> Result<bool> {
        Ok(!self.is_archive() && FileLock::is_held(&self.cell_folder(cell).lock_path())?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::super::lookup::Lookup;
    use super::super::test_store::{TestStore, cell, new_record};
    use super::*;

    /// The environment variable through which a test passes a results folder to the process that it kills.
    const RESULTS: &str = "DTR_TEST_CLAIM_RESULTS";

    #[test]
    fn two_claims_exclude_one_another() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        assert!(test.claim("a").is_none());
        assert!(test.is_running("a"));
        assert!(test.claim("b").is_some());
        drop(claim);
        assert!(!test.is_running("a"));
        assert!(test.claim("a").is_some());
    }

    #[test]
    fn waiting_for_a_claim_ends_when_it_is_free_or_the_user_stops() {
        let test = TestStore::new();
        let mut held = test.claim("a");
        let stop = |_| Err(Error::failed("stopped"));
        assert_eq!(test.store.claim_blocking(&cell("a"), stop).unwrap_err().to_string(), "stopped");
        let release = |_| {
            held = None;
            Ok(())
        };
        test.store.claim_blocking(&cell("a"), release).unwrap();
    }

    #[test]
    fn a_claim_dropped_unfinished_leaves_its_checkpoint_and_no_record() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        claim.checkpoint("step-10").unwrap().write(b"half").unwrap();
        fs::write(claim.folder_path().join(".dtr-tmp-x"), "torn").unwrap();
        drop(claim);
        assert_eq!(test.find("a"), Lookup::Missing);
        let claim = test.claim("a").unwrap();
        assert_eq!(claim.checkpoint("step-10").unwrap().read().unwrap().unwrap(), b"half");
        assert!(!claim.folder_path().join(".dtr-tmp-x").exists());
        claim.finish(new_record("a"), 0.5).unwrap();
        assert!(!test.folder("a").checkpoint_folder().exists());
    }

    /// The test starts its own executable again, with the variable [`RESULTS`] set, and kills that process.
    #[test]
    fn a_killed_process_leaves_its_checkpoint_and_frees_its_claim() {
        if let Some(results) = std::env::var_os(RESULTS) {
            return claim_and_hang(Path::new(&results));
        }
        let test = TestStore::new();
        let (_, this_test) =
            concat!(module_path!(), "::a_killed_process_leaves_its_checkpoint_and_frees_its_claim")
                .split_once("::")
                .unwrap();
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this_test])
            .env(RESULTS, test.results.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let checkpoint = test.folder("a").checkpoint_path("step-10").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !checkpoint.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(test.is_running("a"));
        assert!(test.claim("a").is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!test.is_running("a"));
        assert_eq!(test.find("a"), Lookup::Missing);
        let claim = test.claim("a").unwrap();
        assert!(claim.checkpoint("step-10").unwrap().read().unwrap().is_some());
    }

    fn claim_and_hang(results: &Path) {
        let store = super::super::Store::open(results).unwrap();
        let claim = store.try_claim(&cell("a")).unwrap().unwrap();
        claim.checkpoint("step-10").unwrap().write(b"half").unwrap();
        std::thread::sleep(Duration::from_secs(120));
    }
}
