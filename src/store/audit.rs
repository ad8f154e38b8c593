//! Reads every record and the files that belong to it, and lists the damaged files.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use dtr_core::error::Result;

use super::Store;
use super::cell_id::CellId;
use super::cell_spec::CellSpec;
use super::event_log::read_events;
use super::folders::CellFolder;
use super::record::{Outcome, Record, RecordOnDisk};

/// A stored file that is missing or damaged, or that differs from the expected content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// The file.
    pub path: PathBuf,
    /// The description of the damage.
    pub reason: String,
}

/// The result of [`Store::audit`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Number of records that were read.
    pub num_records: usize,
    /// Number of other files that were read: specifications, logs and artifacts.
    pub num_files: usize,
    /// The files that are missing or damaged.
    pub faults: Vec<DamagedFile>,
}

impl Store {
    /// Reads every record of the store and the files that belong to it. Changes nothing.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed. If a file cannot be read, [`Audit::faults`] lists it.
    pub fn audit(&self) -> Result<Audit> {
        let mut audit = Audit::default();
        for cell in self.list_cells()? {
            if self.record_path(&cell).exists() {
                self.audit_cell(&cell, &mut audit);
            }
        }
        Ok(audit)
    }

    /// Audits a cell that has a record. In an archive, a cell has no files other than its record.
    fn audit_cell(&self, cell: &CellId, audit: &mut Audit) {
        audit.num_records += 1;
        match self.audit_record(cell) {
            Err(fault) => audit.faults.push(fault),
            Ok(record) if !self.is_archive() => self.audit_files(&self.cell_folder(cell), &record, audit),
            Ok(_) => {}
        }
    }

    /// Reads a record and checks its key.
    fn audit_record(&self, cell: &CellId) -> std::result::Result<Record<Outcome<Value>>, DamagedFile> {
        let reason = match self.read_record::<Value>(cell) {
            Ok(RecordOnDisk::Valid(record)) => match record.spec.key_matches().is_ok_and(|matches| matches) {
                true => return Ok(record),
                false => "its key is not the digest of its spec and inputs".to_owned(),
            },
            Ok(RecordOnDisk::Corrupt(reason)) => reason,
            Ok(RecordOnDisk::Missing) => "it is missing".to_owned(),
            Err(error) => error.to_line(),
        };
        let reason = if self.is_archive() { format!("{cell}: {reason}") } else { reason };
        Err(DamagedFile { path: self.record_path(cell), reason })
    }

    /// Audits the other files of a cell that has a record.
    fn audit_files(&self, folder: &CellFolder, record: &Record<Outcome<Value>>, audit: &mut Audit) {
        let mut add_fault = |path: PathBuf, reason: String| audit.faults.push(DamagedFile { path, reason });
        let logs = match folder.list_event_logs() {
            Ok(logs) => logs,
            Err(error) => {
                add_fault(folder.path().to_owned(), error.to_line());
                Vec::new()
            }
        };
        // A score cell that a search computed has neither a log nor a file with its specification.
        let has_spec = !logs.is_empty() || folder.spec_path().exists();
        if has_spec && CellSpec::read(folder).is_none_or(|written| written != record.spec) {
            add_fault(folder.spec_path(), "it differs from the spec in the record of its cell".to_owned());
        }
        for log in &logs {
            if let Err(error) = read_events(log) {
                add_fault(log.clone(), error.to_line());
            }
        }
        audit.num_files += usize::from(has_spec) + logs.len();
        if self.ignores_artifacts {
            return;
        }
        for name in record.artifacts.keys() {
            if let Err(error) = self.verify_artifact(record, name) {
                add_fault(self.artifact_folder(record).join(name), error.message_with_sources());
            }
        }
        audit.num_files += record.artifacts.len();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::attempt::AttemptId;
    use super::super::event_log::EventKind;
    use super::super::record_writer::NewRecord;
    use super::super::test_store::{TestStore, new_record};

    #[test]
    fn every_damaged_file_is_listed_and_an_undamaged_store_has_none() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        claim.open_event_log().unwrap().append(EventKind::Started).unwrap();
        fs::write(claim.artifact_path("twins").unwrap(), "weights").unwrap();
        let new = NewRecord { artifacts: vec!["twins".to_owned()], ..new_record("a") };
        claim.finish(new, 0.5).unwrap();
        test.fail("b", "no luck");
        let audit = test.store.audit().unwrap();
        // `b` has a record only.
        assert_eq!((audit.num_records, audit.num_files, audit.faults.len()), (2, 3, 0));
        let (folder, attempt) = (test.folder("a"), Some(AttemptId::of_this_process()));
        let twins = folder.artifact_path(attempt, "twins").unwrap();
        let files = [folder.record_path(), folder.spec_path(), folder.event_log_path(attempt), twins];
        for path in files {
            let whole = fs::read(&path).unwrap();
            for damaged in [
                b"weighty\n".to_vec(),
                whole.iter().map(|byte| if *byte == b'\n' { *byte } else { byte ^ 1 }).collect(),
            ] {
                fs::write(&path, damaged).unwrap();
                let faults = test.store.audit().unwrap().faults;
                assert_eq!(faults.iter().map(|fault| &fault.path).collect::<Vec<_>>(), [&path]);
            }
            fs::write(&path, whole).unwrap();
        }
    }
}
