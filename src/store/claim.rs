//! A cell that this process works on, and how it ends.
//!
//! The order of writing is the point of this file: artifacts, then `spec.json`, then the record by
//! rename, and only then the checkpoints go. Killed at any moment, a process leaves no record or a
//! whole one, and its checkpoints for the next.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files::{self, FileLock};

use super::cell_spec::CellSpec;
use super::draft::Draft;
use super::events::Events;
use super::key::Key;
use super::layout::CellFolder;
use super::record::{self, Artifact, Reading, Record};
use super::stage::Stage;

/// The right to work on a cell; held until it is dropped or the process dies.
#[derive(Debug)]
pub struct Claim {
    stage: Stage,
    key: Key,
    folder: CellFolder,
    _lock: FileLock,
}

impl Claim {
    pub(super) fn new(stage: Stage, key: Key, folder: CellFolder, lock: FileLock) -> Self {
        Self { stage, key, folder, _lock: lock }
    }

    /// The cell's folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Where to write an artifact; name it in the [`Draft`].
    pub fn artifact(&self, name: &str) -> Result<PathBuf> {
        self.folder.artifact(name)
    }

    /// A checkpoint to write or to find, in a folder that goes once the cell is done.
    pub fn checkpoint(&self, name: &str) -> Result<CheckpointFile> {
        files::create_folder(&self.folder.checkpoints())?;
        Ok(CheckpointFile::new(self.folder.checkpoint(name)?, self.key.to_string()))
    }

    /// The cell's log, to add to.
    pub fn events(&self) -> Result<Events> {
        Events::open(&self.folder.events())
    }

    /// Whether the cell has a log.
    pub fn has_events(&self) -> bool {
        self.folder.events().exists()
    }

    /// Forgets all that stands of the cell, its record first. A damaged record is set aside.
    pub fn start_over(&self) -> Result<()> {
        self.set_aside_corrupt::<IgnoredAny>()?;
        let kept = self.folder.corrupt();
        let record = self.folder.record();
        let mut paths: Vec<PathBuf> =
            self.folder.contents()?.into_iter().filter(|path| *path != kept).collect();
        // A record without its artifacts would be worse than artifacts without a record.
        paths.sort_by_key(|path| *path != record);
        paths.iter().try_for_each(|path| files::remove_if_present(path))
    }

    /// Ends the cell: writes its record and gives it back as it will be read from now on.
    ///
    /// Refuses a result that is not finite or does not read back, and a spec that does not make the
    /// key; the cell can then still be finished as failed. A failed cell keeps its checkpoints, for
    /// what stopped it may be mended and the work go on.
    pub fn finish<T: Serialize + DeserializeOwned>(&self, draft: Draft<T>) -> Result<Record<T>> {
        let outline = self.outline(&draft)?;
        let (record, sealed) = self.seal(draft)?;
        outline.write(&self.folder)?;
        self.set_aside_corrupt::<T>()?;
        files::write_bytes_atomically(&self.folder.record(), sealed.as_bytes())?;
        if record.result().is_some() {
            // The record stands, so the cell is done even if this fails; pruning finds the rest.
            let _ = files::remove_if_present(&self.folder.checkpoints());
        }
        Ok(record)
    }

    fn outline<T>(&self, draft: &Draft<T>) -> Result<CellSpec> {
        let outline = draft.outline(self.stage, self.key);
        match outline.key_matches()? {
            true => Ok(outline),
            false => Err(self.refusal("the spec and inputs handed in are another cell's")),
        }
    }

    /// The record as it reads back, and its bytes.
    ///
    /// As it reads back, since a JSON reader may miss the last bit of a number: a run that goes on and
    /// a run that resumes must compare the same scores.
    fn seal<T: Serialize + DeserializeOwned>(&self, draft: Draft<T>) -> Result<(Record<T>, String)> {
        let artifacts = self.digest_artifacts(&draft.artifacts)?;
        let sealed = record::seal(&draft.into_record(self.stage, self.key, artifacts)?)?;
        match record::parse(sealed.as_bytes(), &self.folder.record(), self.stage, &self.key)? {
            Reading::Whole(record) => Ok((record, sealed)),
            Reading::Corrupt(why) => Err(self.refusal(&why)),
            Reading::Missing => unreachable!("parsing is given the bytes"),
        }
    }

    fn digest_artifacts(&self, names: &[String]) -> Result<BTreeMap<String, Artifact>> {
        let artifact = |name: &String| {
            let path = self.folder.artifact(name)?;
            // On disk before the record that vouches for it.
            let synced = File::open(&path).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
            let bytes = synced.map_err(|cause| Error::io("sync", &path, cause))?.len();
            Ok((name.clone(), Artifact { digest: files::digest_file(&path)?, bytes }))
        };
        names.iter().map(artifact).collect()
    }

    fn set_aside_corrupt<T: DeserializeOwned>(&self) -> Result<()> {
        let path = self.folder.record();
        match record::read::<T>(&path, self.stage, &self.key)? {
            Reading::Corrupt(_) => {
                fs::rename(&path, self.folder.corrupt()).map_err(|cause| Error::io("set aside", &path, cause))
            }
            Reading::Missing | Reading::Whole(_) => Ok(()),
        }
    }

    fn refusal(&self, why: &str) -> Error {
        Error::failed(format!("{} cell {} cannot be recorded: {why}", self.stage, self.key.short()))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::super::fixtures::{self, Shelf};
    use super::super::lookup::Lookup;
    use super::super::record::Outcome;
    use super::*;

    const RESULTS: &str = "DTR_TEST_CLAIM_RESULTS";

    #[test]
    fn two_claims_exclude_one_another() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        assert!(shelf.claim("a").is_none());
        assert!(shelf.is_running("a"));
        assert!(shelf.claim("b").is_some());
        drop(claim);
        assert!(!shelf.is_running("a"));
        assert!(shelf.claim("a").is_some());
    }

    #[test]
    fn waiting_for_a_claim_ends_when_it_is_free_or_the_user_stops() {
        let shelf = Shelf::new();
        let key = fixtures::key("a");
        let mut held = shelf.claim("a");
        let stop = |_| Err(Error::failed("stopped"));
        assert_eq!(shelf.store.claim_wait(Stage::Score, &key, stop).unwrap_err().to_string(), "stopped");
        let release = |_| {
            held = None;
            Ok(())
        };
        shelf.store.claim_wait(Stage::Score, &key, release).unwrap();
    }

    #[test]
    fn a_claim_dropped_unfinished_leaves_its_checkpoint_and_no_record() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        claim.checkpoint("step-10").unwrap().write(b"half").unwrap();
        fs::write(claim.dir().join(".dtr-tmp-x"), "torn").unwrap();
        drop(claim);
        assert_eq!(shelf.find("a"), Lookup::Missing);
        let claim = shelf.claim("a").unwrap();
        assert_eq!(claim.checkpoint("step-10").unwrap().read().unwrap().unwrap(), b"half");
        assert!(!claim.dir().join(".dtr-tmp-x").exists());
        claim.finish(fixtures::draft("a", Outcome::Done(0.5))).unwrap();
        assert!(!shelf.folder("a").checkpoints().exists());
    }

    /// Plays both parts: started again with `RESULTS` set, it is the process that is killed.
    #[test]
    fn a_killed_process_leaves_no_running_state_but_its_checkpoint() {
        if let Some(results) = std::env::var_os(RESULTS) {
            return claim_and_hang(Path::new(&results));
        }
        let shelf = Shelf::new();
        let (_, this_test) =
            concat!(module_path!(), "::a_killed_process_leaves_no_running_state_but_its_checkpoint")
                .split_once("::")
                .unwrap();
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this_test])
            .env(RESULTS, shelf.results.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let checkpoint = shelf.folder("a").checkpoint("step-10").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !checkpoint.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(shelf.is_running("a"));
        assert!(shelf.claim("a").is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!shelf.is_running("a"));
        assert_eq!(shelf.find("a"), Lookup::Missing);
        let claim = shelf.claim("a").unwrap();
        assert!(claim.checkpoint("step-10").unwrap().read().unwrap().is_some());
    }

    fn claim_and_hang(results: &Path) {
        let store = super::super::Store::open(results).unwrap();
        let claim = store.claim(Stage::Score, &fixtures::key("a")).unwrap().unwrap();
        claim.checkpoint("step-10").unwrap().write(b"half").unwrap();
        std::thread::sleep(Duration::from_secs(120));
    }

    #[test]
    fn a_cell_stopped_before_its_record_is_missing_though_all_else_is_there() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        let draft = fixtures::draft("a", Outcome::Done(0.5)).with_artifacts(["twins"]);
        fs::write(claim.artifact("twins").unwrap(), "weights").unwrap();
        claim.outline(&draft).unwrap().write(&claim.folder).unwrap();
        assert_eq!(shelf.find("a"), Lookup::Missing);
        // The rename of the record cannot succeed onto a folder: nothing half-written remains.
        fs::create_dir_all(claim.folder.record().join("in-the-way")).unwrap();
        assert!(claim.finish(draft).is_err());
    }

    #[test]
    fn a_failed_cell_keeps_its_checkpoint_and_can_be_done_again() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        let checkpoint = claim.checkpoint("step-10").unwrap();
        checkpoint.write(b"half").unwrap();
        claim.finish(fixtures::draft::<f64>("a", Outcome::Failed { error: "disk full".to_owned() })).unwrap();
        assert!(checkpoint.path().exists());
        let record = claim.finish(fixtures::draft("a", Outcome::Done(0.5))).unwrap();
        assert!(!checkpoint.path().exists());
        assert_eq!(shelf.find("a"), Lookup::Done(record));
    }

    #[test]
    fn a_result_that_is_not_finite_is_refused_and_the_cell_can_still_fail() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        assert!(claim.finish(fixtures::draft("a", Outcome::Done(f64::NAN))).is_err());
        assert_eq!(shelf.find("a"), Lookup::Missing);
        claim.finish(fixtures::draft::<f64>("a", Outcome::Failed { error: "diverged".to_owned() })).unwrap();
        assert!(matches!(shelf.find("a"), Lookup::Failed(_)));
    }

    #[test]
    fn a_result_just_finished_has_the_very_numbers_that_are_found_later() {
        let shelf = Shelf::new();
        let numbers: Vec<f64> = (1..400).map(|n| f64::from(n) / 1221.0 * f64::from(n).exp()).collect();
        let draft = fixtures::draft("a", Outcome::Done(numbers));
        let record = shelf.claim("a").unwrap().finish(draft).unwrap();
        let found = shelf.store.find::<Vec<f64>>(Stage::Score, &fixtures::key("a")).unwrap();
        assert_eq!(found, Lookup::Done(record));
    }

    #[test]
    fn a_spec_of_another_cell_and_a_missing_artifact_are_refused() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        assert!(claim.finish(fixtures::draft("b", Outcome::Done(0.5))).is_err());
        let without = fixtures::draft("a", Outcome::Done(0.5)).with_artifacts(["twins"]);
        assert!(claim.finish(without).unwrap_err().to_string().contains("twins"));
        assert_eq!(shelf.find("a"), Lookup::Missing);
    }

    #[test]
    fn a_corrupt_record_is_set_aside_when_the_cell_ends_anew() {
        let shelf = Shelf::new();
        shelf.finish("a", Outcome::Done(0.5));
        let folder = shelf.folder("a");
        fs::write(folder.record(), "{\"digest\":\"").unwrap();
        let record = shelf.finish("a", Outcome::Done(0.75));
        assert_eq!(shelf.find("a"), Lookup::Done(record));
        assert_eq!(fs::read_to_string(folder.corrupt()).unwrap(), "{\"digest\":\"");
    }

    #[test]
    fn starting_over_forgets_the_cell() {
        let shelf = Shelf::new();
        shelf.finish("a", Outcome::Done(0.5));
        let claim = shelf.claim("a").unwrap();
        claim.checkpoint("step-10").unwrap();
        claim.events().unwrap().append(super::super::EventKind::Started).unwrap();
        claim.start_over().unwrap();
        assert_eq!(shelf.find("a"), Lookup::Missing);
        assert!(claim.folder.contents().unwrap().is_empty());
    }
}
