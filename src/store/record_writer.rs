//! Writes the record of a claimed cell.
//!
//! The order of the writes makes a crash harmless: first artifacts, then `spec.json`, then the record by
//! `link(2)`, and last the removal of checkpoints. A process that is killed at any moment leaves either a
//! complete record, or checkpoints from which the next process resumes. If several processes write a record
//! of the same cell, the first record of a result counts, and all of them return that record.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::cell_id::CellId;
use super::cell_spec::CellSpec;
use super::cell_state::{CellState, CheckDepth};
use super::claim::Claim;
use super::finite::ensure_finite;
use super::now;
use super::provenance::Provenance;
use super::record::{self, Artifact, Outcome, RECORD_FORMAT, Record, RecordOnDisk};
use dtr_core::error::{Error, Result};
use dtr_core::files::{self, Digest};

/// The number of attempts to publish a record while other processes replace damaged records of the same cell.
const NUM_PUBLISH_ATTEMPTS: usize = 10;

/// The contents of a new record except its outcome. The process that ran the cell provides these contents.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The cell.
    pub spec: CellSpec,
    /// Names of the artifacts that were written.
    pub artifacts: Vec<String>,
    /// Cells that the output refers to. The output is incomplete without them.
    pub references: Vec<CellId>,
    /// Device seconds of work, as in [`Record::seconds`].
    pub seconds: f64,
    /// Energy of the devices during the work, in joules, as in [`Record::joules`].
    pub joules: Option<f64>,
    /// The program and machine that did the work.
    pub provenance: Provenance,
}

impl Claim {
    /// Writes the record of a cell that succeeded, and returns the record as read back. If another process
    /// has recorded a result of the cell first, returns that record, which names another attempt.
    ///
    /// # Errors
    /// Fails if the output holds a number that is not finite, if the output cannot be read back, if an
    /// artifact is missing, if `new` belongs to another cell, or if a file cannot be written. The caller can
    /// still call [`Claim::fail`] after an error.
    pub fn finish<T: Serialize + DeserializeOwned>(&self, new: NewRecord, output: T) -> Result<Record<T>> {
        let record = self.write_record(new, Outcome::Done(output))?;
        // The record is on disk, so the cell is done even if the checkpoints cannot be removed. `dtr prune`
        // can remove them later.
        let _ = files::remove_file_or_folder_if_present(&self.folder.checkpoint_folder());
        record.into_result().map_err(|_| self.refuse("its output reads back as a failure"))
    }

    /// Writes the record of a cell that failed with `error`, unless another process has recorded a result.
    ///
    /// The checkpoints stay, so that the work can continue once the cause of the failure is fixed.
    ///
    /// # Errors
    /// Fails if `new` belongs to another cell, or if a file cannot be written.
    pub fn fail(&self, new: NewRecord, error: String) -> Result<()> {
        self.write_record(new, Outcome::<Value>::Failed { error }).map(drop)
    }

    fn write_record<T: Serialize + DeserializeOwned>(
        &self,
        new: NewRecord,
        outcome: Outcome<T>,
    ) -> Result<Record<Outcome<T>>> {
        if new.spec.id != self.id || !new.spec.key_matches()? {
            return Err(self.refuse("the spec and inputs belong to another cell"));
        }
        let (spec, artifacts) = (new.spec.clone(), new.artifacts.clone());
        let (record, bytes) = self.encode(new, outcome)?;
        // A score cell that a search computes has no log. Its record holds the specification.
        if self.has_event_log() {
            spec.write(&self.folder)?;
        }
        let published = self.publish(record, bytes.as_bytes())?;
        if published.attempt.as_ref() != Some(self.attempt()) {
            for name in artifacts {
                // The files are not needed. `dtr prune` can remove them later.
                let _ = files::remove_file_or_folder_if_present(&self.artifact_path(&name)?);
            }
        }
        Ok(published)
    }

    /// Writes a record, unless another process has recorded a result first. Returns the record on disk.
    fn publish<T: DeserializeOwned>(
        &self,
        record: Record<Outcome<T>>,
        bytes: &[u8],
    ) -> Result<Record<Outcome<T>>> {
        for _ in 0..NUM_PUBLISH_ATTEMPTS {
            let Some((path, present)) = record::read_bytes(&self.folder)? else {
                match files::create_file_atomically(&self.folder.record_path(), bytes)? {
                    true => return Ok(record),
                    false => continue,
                }
            };
            let is_final = self.record_at_claim != Some(Digest::hash(&present))
                && self.store.cell_state(&self.id, CheckDepth::Full)? == CellState::Done;
            match record::parse::<T>(&present, &path, &self.id)? {
                RecordOnDisk::Valid(present) if is_final => return Ok(present),
                _ => self.remove_record(&path, &present)?,
            }
        }
        Err(self.refuse("other processes replace its record again and again"))
    }

    /// Removes the record at `path` if its content is `present`, so that a new record can be published. Keeps
    /// a damaged record under another name.
    fn remove_record(&self, path: &Path, present: &[u8]) -> Result<()> {
        let is_present = |moved: &Path| match fs::read(moved) {
            Ok(bytes) => Ok(bytes == present),
            Err(cause) => Err(Error::io("read", moved, cause)),
        };
        let Some(taken) = files::take_file_if(path, is_present)? else { return Ok(()) };
        if let RecordOnDisk::Corrupt(_) = record::parse::<IgnoredAny>(present, path, &self.id)? {
            let renamed = taken.persist(self.folder.corrupt_record_path());
            renamed.map_err(|failure| Error::io("rename", path, failure.error))?;
        }
        Ok(())
    }

    /// Returns the new record as read back from its JSON, and the JSON text.
    ///
    /// A JSON reader may change the last bit of a number. A search must see the same scores, no matter
    /// whether it computes the scores or reads their records. The caller therefore always gets the numbers
    /// that a JSON reader reads.
    fn encode<T: Serialize + DeserializeOwned>(
        &self,
        new: NewRecord,
        outcome: Outcome<T>,
    ) -> Result<(Record<Outcome<T>>, String)> {
        ensure_finite(&outcome)?;
        ensure_finite(&(new.seconds, new.joules))?;
        let record = Record {
            format: RECORD_FORMAT,
            spec: new.spec,
            attempt: Some(self.attempt().clone()),
            artifacts: self.digest_artifacts(&new.artifacts)?,
            references: new.references,
            seconds: new.seconds,
            joules: new.joules,
            finished: now(),
            provenance: new.provenance,
            outcome,
        };
        let bytes = record::encode(&record)?;
        match record::parse(bytes.as_bytes(), &self.folder.record_path(), &self.id)? {
            RecordOnDisk::Valid(record) => Ok((record, bytes)),
            RecordOnDisk::Corrupt(reason) => Err(self.refuse(&reason)),
            RecordOnDisk::Missing => unreachable!("`parse` never returns `Missing`"),
        }
    }

    fn digest_artifacts(&self, names: &[String]) -> Result<BTreeMap<String, Artifact>> {
        let artifact = |name: &String| {
            let path = self.folder.artifact_path(Some(self.attempt()), name)?;
            // Sync the artifact to disk before the record is written, because the record holds the artifact's
            // digest.
            let synced = File::open(&path).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
            let bytes = synced.map_err(|cause| Error::io("sync", &path, cause))?.len();
            Ok((name.clone(), Artifact { digest: files::digest_file(&path)?, bytes }))
        };
        names.iter().map(artifact).collect()
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::failed(format!("cannot record {}: {reason}", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::lease::{Lease, LeaseIntervals};
    use super::super::lookup::Lookup;
    use super::super::test_store::{TestStore, cell, new_record};
    use super::*;
    use crate::store::AttemptId;
    use dtr_core::system_info::ProcessIdentity;

    #[test]
    fn a_cell_without_a_record_is_missing_even_if_its_artifacts_exist() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        let new = NewRecord { artifacts: vec!["twins".to_owned()], ..new_record("a") };
        fs::write(claim.artifact_path("twins").unwrap(), "weights").unwrap();
        new.spec.write(&claim.folder).unwrap();
        assert_eq!(test.find("a"), Lookup::Missing);
        // A folder at the path of the record cannot be replaced.
        fs::create_dir_all(claim.folder.record_path().join("in-the-way")).unwrap();
        assert!(claim.finish(new, 0.5).is_err());
    }

    #[test]
    fn a_result_that_is_not_finite_is_refused_and_the_cell_can_still_fail() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        assert!(claim.finish(new_record("a"), f64::NAN).is_err());
        assert_eq!(test.find("a"), Lookup::Missing);
        claim.fail(new_record("a"), "diverged".to_owned()).unwrap();
        assert!(matches!(test.find("a"), Lookup::Failed(_)));
    }

    #[test]
    fn a_result_just_finished_has_the_very_numbers_that_are_found_later() {
        let test = TestStore::new();
        let numbers: Vec<f64> = (1..400).map(|n| f64::from(n) / 1221.0 * f64::from(n).exp()).collect();
        let record = test.claim("a").unwrap().finish(new_record("a"), numbers).unwrap();
        assert_eq!(test.store.find::<Vec<f64>>(&cell("a")).unwrap(), Lookup::Done(record));
    }

    #[test]
    fn a_spec_of_another_cell_and_a_missing_artifact_are_refused() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        assert!(claim.finish(new_record("b"), 0.5).is_err());
        let without = NewRecord { artifacts: vec!["twins".to_owned()], ..new_record("a") };
        assert!(claim.finish(without, 0.5).unwrap_err().to_string().contains("twins"));
        assert_eq!(test.find("a"), Lookup::Missing);
    }

    /// Returns the store as a process on another host opens it.
    fn other_host(test: &TestStore) -> Store {
        let holder = ProcessIdentity { kernel: "other".to_owned(), ..ProcessIdentity::current().clone() };
        let attempt = AttemptId::try_from("00000000000000aa".to_owned()).unwrap();
        test.store.for_process(Lease { holder, attempt, slurm: None }, LeaseIntervals::default())
    }

    /// Claims `a` on two hosts that do not see the leases of one another, and writes twins on both.
    fn claim_on_two_hosts(test: &TestStore) -> [Claim; 2] {
        let claim = test.claim("a").unwrap();
        fs::remove_file(test.folder("a").lease_path()).unwrap();
        let claims = [claim, other_host(test).try_claim(&cell("a")).unwrap().unwrap()];
        for (claim, twins) in claims.iter().zip(["first twins", "second twins"]) {
            fs::write(claim.artifact_path("twins").unwrap(), twins).unwrap();
        }
        claims
    }

    fn with_twins() -> NewRecord {
        NewRecord { artifacts: vec!["twins".to_owned()], ..new_record("a") }
    }

    #[test]
    fn the_first_of_two_results_counts_and_has_its_own_artifacts() {
        let test = TestStore::new();
        let [first, second] = claim_on_two_hosts(&test);
        let record = first.finish(with_twins(), 0.5).unwrap();
        // The checkpoint of the other host can be written after the cell is done.
        second.checkpoint("step-1").unwrap().write(b"half").unwrap();
        assert_eq!(second.finish(with_twins(), 0.75).unwrap(), record);
        assert_eq!(test.find("a"), Lookup::Done(record.clone()));
        let twins = test.store.verify_artifact(&record, "twins").unwrap();
        assert_eq!(fs::read_to_string(twins).unwrap(), "first twins");
        assert!(!second.artifact_path("twins").unwrap().exists(), "twins that no record names stay");
        assert!(!test.folder("a").checkpoint_folder().exists());
        second.fail(new_record("a"), "too late".to_owned()).unwrap();
        assert_eq!(test.find("a"), Lookup::Done(record));
    }

    #[test]
    fn a_result_replaces_the_failure_of_another_process() {
        let test = TestStore::new();
        let [first, second] = claim_on_two_hosts(&test);
        first.fail(new_record("a"), "no memory".to_owned()).unwrap();
        let record = second.finish(with_twins(), 0.75).unwrap();
        assert_eq!(record.attempt, Some(second.attempt().clone()));
        assert_eq!(test.find("a"), Lookup::Done(record));
    }

    #[test]
    fn a_result_with_damaged_artifacts_is_replaced() {
        let test = TestStore::new();
        let [first, second] = claim_on_two_hosts(&test);
        let record = first.finish(with_twins(), 0.5).unwrap();
        fs::write(test.store.artifact_folder(&record).join("twins"), "first twinz").unwrap();
        let record = second.finish(with_twins(), 0.75).unwrap();
        assert_eq!((record.outcome, record.attempt.as_ref()), (0.75, Some(second.attempt())));
        assert_eq!(test.find("a"), Lookup::Done(record));
    }

    #[test]
    fn a_record_that_was_damaged_at_the_claim_is_replaced_even_if_it_can_be_used_again() {
        let test = TestStore::new();
        test.finish("a", 0.5);
        let claim = test.claim("a").unwrap();
        let record = claim.finish(new_record("a"), 0.75).unwrap();
        assert_eq!(record.outcome, 0.75);
        assert_eq!(test.find("a"), Lookup::Done(record));
    }

    #[test]
    fn a_corrupt_record_is_renamed_when_the_cell_is_done_again() {
        let test = TestStore::new();
        test.finish("a", 0.5);
        let folder = test.folder("a");
        fs::write(folder.record_path(), "{\"digest\":\"").unwrap();
        let record = test.finish("a", 0.75);
        assert_eq!(test.find("a"), Lookup::Done(record));
        assert_eq!(fs::read_to_string(folder.corrupt_record_path()).unwrap(), "{\"digest\":\"");
    }

    #[test]
    fn a_failed_cell_keeps_its_checkpoint_and_can_be_done_again() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        let checkpoint = claim.checkpoint("step-10").unwrap();
        checkpoint.write(b"half").unwrap();
        claim.fail(new_record("a"), "disk full".to_owned()).unwrap();
        assert!(checkpoint.path().exists());
        let record = claim.finish(new_record("a"), 0.5).unwrap();
        assert!(!checkpoint.path().exists());
        assert_eq!(test.find("a"), Lookup::Done(record));
    }
}
