//! Writes the record of a claimed cell.
//!
//! The order of the writes makes a crash harmless: first artifacts, then `spec.json`, then the record by an
//! atomic rename, and last the removal of checkpoints. A process that is killed at any moment leaves either a
//! complete record, or checkpoints from which the next process resumes.

use std::collections::BTreeMap;
use std::fs::{self, File};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files;

use super::cell_id::CellId;
use super::cell_spec::CellSpec;
use super::claim::Claim;
use super::finite::ensure_finite;
use super::now;
use super::provenance::Provenance;
use super::record::{self, Artifact, Outcome, RECORD_FORMAT, Record, RecordOnDisk};

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
    /// Writes the record of a cell that succeeded, and returns the record as read back.
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

    /// Writes the record of a cell that failed with `error`.
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
        let spec = new.spec.clone();
        let (record, bytes) = self.encode(new, outcome)?;
        spec.write(&self.folder)?;
        self.rename_corrupt_record::<T>()?;
        files::write_bytes_atomically(&self.folder.record_path(), bytes.as_bytes())?;
        Ok(record)
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
            let path = self.folder.artifact_path(name)?;
            // Sync the artifact to disk before the record is written, because the record holds the artifact's
            // digest.
            let synced = File::open(&path).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
            let bytes = synced.map_err(|cause| Error::io("sync", &path, cause))?.len();
            Ok((name.clone(), Artifact { digest: files::digest_file(&path)?, bytes }))
        };
        names.iter().map(artifact).collect()
    }

    /// Renames the existing record of the cell if it is damaged.
    fn rename_corrupt_record<T: DeserializeOwned>(&self) -> Result<()> {
        let path = self.folder.record_path();
        match record::read::<T>(&path, &self.id)? {
            RecordOnDisk::Corrupt(_) => fs::rename(&path, self.folder.corrupt_record_path())
                .map_err(|cause| Error::io("rename", &path, cause)),
            RecordOnDisk::Missing | RecordOnDisk::Valid(_) => Ok(()),
        }
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::failed(format!("cannot record {}: {reason}", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::lookup::Lookup;
    use super::super::test_store::{TestStore, cell, new_record};
    use super::*;

    #[test]
    fn a_cell_without_a_record_is_missing_even_if_its_artifacts_exist() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        let new = NewRecord { artifacts: vec!["twins".to_owned()], ..new_record("a") };
        fs::write(claim.artifact_path("twins").unwrap(), "weights").unwrap();
        new.spec.write(&claim.folder).unwrap();
        assert_eq!(test.find("a"), Lookup::Missing);
        // A folder at the path of the record makes the rename fail.
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
