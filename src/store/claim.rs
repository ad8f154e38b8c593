//! The right to work on a cell.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use super::Store;
use super::attempt::AttemptId;
use super::cell_id::CellId;
use super::event_log::EventLog;
use super::folders::CellFolder;
use super::lease::LeaseState;
use super::leases::HeldLease;
use super::record;
use super::watched_leases::ObservedLease;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files::{self, Digest};

/// Shortest pause between two attempts of [`Store::claim_blocking`] if the other process runs on this kernel.
/// Also the longest time between two calls of `on_wait`.
const WAIT_PAUSE: Duration = Duration::from_millis(200);

/// A pause on one kernel is at most the time waited, divided by this number.
const WAITED_PER_PAUSE: u32 = 10;

/// The right to work on a cell. The right ends when the claim is dropped or the process dies.
///
/// No other process works on the cell, unless hosts that share the results folder lost sight of one another.
/// If two processes finish the cell, both get the record of the first one.
#[derive(Debug)]
pub struct Claim {
    pub(super) id: CellId,
    pub(super) store: Store,
    pub(super) folder: CellFolder,
    /// The digest of the record that the cell had before the claim. [`Claim::finish`] replaces this record,
    /// because only a cell whose result cannot be used is computed again.
    pub(super) record_at_claim: Option<Digest>,
    _lease: HeldLease,
}

impl Claim {
    /// Returns the attempt of this process.
    pub(super) fn attempt(&self) -> &AttemptId {
        self.store.leases.attempt()
    }

    /// Returns the folder in which to write artifacts. Creates the folder.
    ///
    /// # Errors
    /// Fails if the folder cannot be created.
    pub fn artifact_folder(&self) -> Result<PathBuf> {
        let folder = self.folder.attempt_folder(Some(self.attempt()));
        files::create_folder(&folder)?;
        Ok(folder)
    }

    /// Returns the path at which to write an artifact. [`super::NewRecord::artifacts`] must name the artifact
    /// too.
    ///
    /// # Errors
    /// Fails if `name` leads out of the folder, if the store uses the name for one of its own files,
    /// or if the folder cannot be created.
    pub fn artifact_path(&self, name: &str) -> Result<PathBuf> {
        self.artifact_folder()?;
        self.folder.artifact_path(Some(self.attempt()), name)
    }

    /// Returns the checkpoint `name` of the cell. [`Claim::finish`] removes all checkpoints.
    ///
    /// # Errors
    /// Fails if `name` leads out of the folder.
    pub fn checkpoint(&self, name: &str) -> Result<CheckpointFile> {
        Ok(CheckpointFile::new(self.folder.checkpoint_path(name)?, self.id.key.to_string()))
    }

    /// Opens the log of this attempt for appending.
    ///
    /// # Errors
    /// Fails if the log cannot be opened.
    pub fn open_event_log(&self) -> Result<EventLog> {
        self.artifact_folder()?;
        EventLog::open(&self.folder.event_log_path(Some(self.attempt())))
    }

    /// Returns whether this attempt has a log.
    pub fn has_event_log(&self) -> bool {
        self.folder.event_log_path(Some(self.attempt())).exists()
    }
}

impl Store {
    /// Claims a cell for this process. Returns `None` if another process has claimed the cell.
    ///
    /// After you claim a cell, call [`Store::find`] again, because another process may just have finished the
    /// cell. The record that the cell has now is replaced when the claim is finished.
    ///
    /// # Errors
    /// Fails if the folder cannot be written, or if the cell's record is of a newer format. This program must
    /// not replace such a record.
    pub fn try_claim(&self, cell: &CellId) -> Result<Option<Claim>> {
        self.claim_or_lease(cell).map(std::result::Result::ok)
    }

    /// Claims a cell for this process. Returns the state of its lease as the inner error if another process
    /// has claimed the cell.
    fn claim_or_lease(&self, cell: &CellId) -> Result<std::result::Result<Claim, LeaseState>> {
        if self.is_archive() {
            return Err(Error::failed(format!("cannot work on {cell}: published results are read-only")));
        }
        let folder = self.cell_folder(cell);
        let mut record_at_claim = None;
        if let Some((path, bytes)) = record::read_bytes(&folder)? {
            record::parse::<IgnoredAny>(&bytes, &path, cell)?;
            record_at_claim = Some(Digest::hash(&bytes));
        }
        Ok(match self.leases.try_take(&folder.lease_path())? {
            Err(state) => Err(state),
            Ok(lease) => {
                self.remove_temporary_files(&folder)?;
                let (id, store) = (cell.clone(), self.clone());
                Ok(Claim { id, store, folder, record_at_claim, _lease: lease })
            }
        })
    }

    /// Removes the temporary files of dead processes from the folders of a cell.
    fn remove_temporary_files(&self, folder: &CellFolder) -> Result<()> {
        let mut cleaned = self.cleaned_shards.lock().unwrap_or_else(PoisonError::into_inner);
        // The folder holds the records of many cells, so it is listed only once.
        if cleaned.insert(folder.shard().to_owned()) {
            files::remove_abandoned_temporary_files(folder.shard())?;
        }
        drop(cleaned);
        files::remove_abandoned_temporary_files(folder.path())?;
        for attempt in folder.list_attempts()? {
            files::remove_abandoned_temporary_files(&folder.attempt_folder(Some(&attempt)))?;
        }
        Ok(())
    }

    /// Claims a cell. Waits while another process works on the cell.
    ///
    /// After each attempt that finds the cell claimed, and then at least five times a second, calls `on_wait`
    /// with the time waited so far. If `on_wait` returns true, tries again at once. An error ends the wait.
    ///
    /// # Errors
    /// Fails as [`Store::try_claim`] does, and with the error of `on_wait`.
    pub fn claim_blocking(
        &self,
        cell: &CellId,
        mut on_wait: impl FnMut(Duration) -> Result<bool>,
    ) -> Result<Claim> {
        let start = Instant::now();
        loop {
            let pause = match self.claim_or_lease(cell)? {
                Ok(claim) => return Ok(claim),
                Err(state) => self.pause(state.is_held_elsewhere(), start.elapsed()),
            };
            let next = Instant::now() + pause;
            while !on_wait(start.elapsed())? {
                let rest = next.saturating_duration_since(Instant::now());
                std::thread::sleep(rest.min(WAIT_PAUSE));
                if rest <= WAIT_PAUSE {
                    break;
                }
            }
        }
    }

    /// Returns the pause before the next look at a lease. The pauses of processes differ, so that they do not
    /// all look at the same moment.
    ///
    /// A look at a lease of this kernel tells whether its process runs. So the first pauses are short there.
    /// They grow with the time waited, because many workers of one host may wait for hours.
    fn pause(&self, is_elsewhere: bool, waited: Duration) -> Duration {
        let [shortest, longest] = self.leases.intervals().poll;
        let grown = (waited / WAITED_PER_PAUSE).max(WAIT_PAUSE);
        if !is_elsewhere && grown < shortest {
            return grown;
        }
        let digest = Digest::hash(format!("{} {waited:?}", self.leases.attempt()).as_bytes());
        shortest + (longest - shortest).mul_f64(f64::from(digest.as_bytes()[0]) / 255.0)
    }

    /// Returns whether this process or another process works on a cell.
    ///
    /// # Errors
    /// Fails if the lease cannot be read.
    pub fn is_running(&self, cell: &CellId) -> Result<bool> {
        Ok(matches!(self.lease_state(cell)?, LeaseState::Held(_)))
    }

    /// Returns the state of the lease of a cell.
    ///
    /// # Errors
    /// Fails if the lease cannot be read.
    pub fn lease_state(&self, cell: &CellId) -> Result<LeaseState> {
        match self.is_archive() {
            true => Ok(LeaseState::Free),
            false => self.leases.state(&self.cell_folder(cell).lease_path()),
        }
    }

    /// Returns the lease of a cell without asking Slurm. Returns `None` if the cell has no lease.
    ///
    /// # Errors
    /// Fails if the lease cannot be read.
    pub fn observe_lease(&self, cell: &CellId) -> Result<Option<ObservedLease>> {
        match self.is_archive() {
            true => Ok(None),
            false => self.leases.observe(&self.cell_folder(cell).lease_path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
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
            Ok(true)
        };
        test.store.claim_blocking(&cell("a"), release).unwrap();
    }

    #[test]
    fn pauses_grow_with_the_time_waited() {
        let store = TestStore::new().store;
        let seconds =
            |is_elsewhere, waited| store.pause(is_elsewhere, Duration::from_secs(waited)).as_secs_f64();
        assert_eq!((seconds(false, 0), seconds(false, 1), seconds(false, 20)), (0.2, 0.2, 2.0));
        for pause in [seconds(false, 1000), seconds(true, 0), seconds(true, 1000)] {
            assert!((5.0..=10.0).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn a_claim_dropped_unfinished_leaves_its_checkpoint_and_no_record() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        claim.checkpoint("step-10").unwrap().write(b"half").unwrap();
        drop(claim);
        assert_eq!(test.find("a"), Lookup::Missing);
        let claim = test.claim("a").unwrap();
        assert_eq!(claim.checkpoint("step-10").unwrap().read().unwrap().unwrap(), b"half");
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
