//! Finds the records of cells.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::de::{DeserializeOwned, IgnoredAny};

use dtr_core::error::{Error, Result};
use dtr_core::files;

use super::Store;
use super::archive::RecordArchive;
use super::cell_id::{CellId, StageName};
use super::cell_spec::CellSpec;
use super::folders::CellFolder;
use super::record::{Record, RecordOnDisk};

/// The result of looking up the record of a cell.
#[derive(Debug, PartialEq)]
pub enum Lookup<T> {
    /// The cell has no record, because it has not ended.
    Missing,
    /// The cell is done, and the record holds its output.
    Done(Record<T>),
    /// The cell failed, and the record holds its error.
    Failed(Record<String>),
    /// The cell's record or an artifact is damaged, so the cell has to run again.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// The description of the damage.
        reason: String,
    },
}

impl<T> Lookup<T> {
    /// Returns the record if the cell is done.
    pub fn done(self) -> Option<Record<T>> {
        match self {
            Self::Done(record) => Some(record),
            Self::Missing | Self::Failed(_) | Self::Corrupt { .. } => None,
        }
    }
}

impl Store {
    /// Finds the record of a cell, and compares the lengths of its artifacts with the record.
    /// [`Store::verify_artifact`] also compares the digest of an artifact.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if the record is of a newer format.
    pub fn find<T: DeserializeOwned>(&self, cell: &CellId) -> Result<Lookup<T>> {
        let path = self.record_path(cell);
        let record = match self.read_record(cell)? {
            RecordOnDisk::Missing => return Ok(Lookup::Missing),
            RecordOnDisk::Corrupt(reason) => return Ok(Lookup::Corrupt { path, reason }),
            RecordOnDisk::Valid(record) => record,
        };
        Ok(match record.into_result() {
            Err(failed) => Lookup::Failed(failed),
            Ok(done) if self.ignores_artifacts => Lookup::Done(done),
            Ok(done) => match find_damaged_artifact(&self.cell_folder(cell), &done)? {
                Some((path, reason)) => Lookup::Corrupt { path, reason },
                None => Lookup::Done(done),
            },
        })
    }

    /// Compares an artifact with the digest in the record, and returns the path of the artifact.
    ///
    /// # Errors
    /// Fails if the record has no such artifact, or if the file is damaged or cannot be read.
    pub fn verify_artifact<T>(&self, record: &Record<T>, name: &str) -> Result<PathBuf> {
        let cell = &record.spec.id;
        let Some(expected) = record.artifacts.get(name) else {
            return Err(Error::failed(format!("{cell} has no artifact `{name}`")));
        };
        let path = self.cell_folder(cell).artifact_path(record.attempt.as_ref(), name)?;
        match files::digest_file(&path)? == expected.digest {
            true => Ok(path),
            false => {
                Err(Error::environment(format!("`{}` does not have its recorded digest", path.display()))
                    .hint("run `dtr sweep` to compute it again"))
            }
        }
    }

    /// Returns the folder that holds the artifacts of a record.
    pub fn artifact_folder<T>(&self, record: &Record<T>) -> PathBuf {
        self.cell_folder(&record.spec.id).attempt_folder(record.attempt.as_ref())
    }

    /// Returns the specifications of the planned cells of a stage that have a record, sorted by key. Leaves
    /// out the score cells that only searches computed.
    pub fn recorded_specs(&self, stage: &StageName) -> Result<Vec<CellSpec>> {
        if let Some(archive) = &self.archive {
            return archived_specs(archive, stage);
        }
        let folders = self.results.list_cells_of(stage)?.into_iter().map(|cell| self.cell_folder(&cell));
        let recorded = folders.filter(|folder: &CellFolder| folder.find_record_path().exists());
        Ok(recorded.filter_map(|folder| CellSpec::read(&folder)).collect())
    }
}

/// Returns the specifications of all cells of a stage whose record in `archive` is not damaged.
fn archived_specs(archive: &RecordArchive, stage: &StageName) -> Result<Vec<CellSpec>> {
    let mut specs = Vec::new();
    for cell in archive.cells().filter(|cell| cell.stage == *stage) {
        if let RecordOnDisk::Valid(record) = archive.find::<IgnoredAny>(cell)? {
            specs.push(record.spec);
        }
    }
    Ok(specs)
}

/// Returns the path of the first artifact that is missing or has the wrong length, and a description of the
/// damage.
fn find_damaged_artifact<T>(folder: &CellFolder, record: &Record<T>) -> Result<Option<(PathBuf, String)>> {
    for (name, artifact) in &record.artifacts {
        let path = folder.artifact_path(record.attempt.as_ref(), name)?;
        match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() == artifact.bytes => {}
            Ok(found) if found.is_file() => {
                let reason = format!("it has {} bytes, and {} were recorded", found.len(), artifact.bytes);
                return Ok(Some((path, reason)));
            }
            Ok(_) => return Ok(Some((path, "it is not a file".to_owned()))),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                return Ok(Some((path, "it is missing".to_owned())));
            }
            Err(cause) => return Err(Error::io("inspect", &path, cause)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::checksum;
    use super::super::record_writer::NewRecord;
    use super::super::test_store::{SCORE, TestStore, cell, new_record};
    use super::*;

    #[test]
    fn a_finished_cell_is_found_and_every_other_is_missing() {
        let test = TestStore::new();
        let record = test.finish("a", 0.75);
        assert_eq!(test.find("a"), Lookup::Done(record));
        assert_eq!(test.find("b"), Lookup::Missing);
        let claim = test.claim("b").unwrap();
        claim.open_event_log().unwrap();
        claim.fail(new_record("b"), "out of memory".to_owned()).unwrap();
        assert!(matches!(test.find("b"), Lookup::Failed(record) if record.outcome == "out of memory"));
        let recorded: Vec<CellId> =
            test.store.recorded_specs(&SCORE).unwrap().into_iter().map(|spec| spec.id).collect();
        assert_eq!(recorded.len(), 2);
        assert!(recorded.contains(&cell("a")));
    }

    #[test]
    fn a_lookup_creates_nothing() {
        let test = TestStore::new();
        let results = test.results.path().join("later");
        let store = Store::open(&results).unwrap();
        assert_eq!(store.find::<f64>(&cell("a")).unwrap(), Lookup::Missing);
        assert!(!store.is_running(&cell("a")).unwrap());
        assert!(store.recorded_specs(&SCORE).unwrap().is_empty());
        assert!(!results.exists());
    }

    #[test]
    fn a_file_is_no_results_folder() {
        let test = TestStore::new();
        let path = test.results.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(Store::open(&path).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let test = TestStore::new();
        test.finish("a", 0.75);
        let path = test.folder("a").record_path();
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            assert!(matches!(test.find("a"), Lookup::Corrupt { .. }), "bit {bit}");
        }
    }

    #[test]
    fn a_record_moved_to_another_cell_is_noticed() {
        let test = TestStore::new();
        test.finish("a", 0.75);
        let other = test.folder("b");
        fs::create_dir_all(other.record_path().parent().unwrap()).unwrap();
        fs::copy(test.folder("a").record_path(), other.record_path()).unwrap();
        let Lookup::Corrupt { path, reason } = test.find("b") else {
            panic!("another cell's record is used")
        };
        assert_eq!(path, other.record_path());
        assert!(reason.contains(&cell("a").to_string()));
    }

    #[test]
    fn a_record_of_a_newer_format_is_refused_and_not_changed() {
        let test = TestStore::new();
        let path = test.folder("a").record_path();
        let newer = checksum::add_checksum("{\"format\":3,\"rest\":\"unknown\"}");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &newer).unwrap();
        assert!(test.store.find::<f64>(&cell("a")).is_err());
        assert!(test.store.try_claim(&cell("a")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }

    #[test]
    fn an_artifact_is_returned_until_a_bit_of_it_flips() {
        let test = TestStore::new();
        let claim = test.claim("a").unwrap();
        fs::write(claim.artifact_path("twins").unwrap(), b"weights").unwrap();
        let new = NewRecord { artifacts: vec!["twins".to_owned()], ..new_record("a") };
        let record = claim.finish(new, 0.75).unwrap();
        assert_eq!(record.artifacts["twins"].bytes, 7);
        let path = test.store.verify_artifact(&record, "twins").unwrap();
        assert!(test.store.verify_artifact(&record, "other").is_err());
        assert_eq!(test.find("a"), Lookup::Done(record.clone()));
        fs::write(&path, b"weighty").unwrap();
        let refused = test.store.verify_artifact(&record, "twins").unwrap_err();
        assert!(refused.to_string().contains(&path.display().to_string()));
        let damages: [fn(&Path); 3] = [
            |path| fs::write(path, b"weight").unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
        ];
        for damage in damages {
            damage(&path);
            let Lookup::Corrupt { path: named, .. } = test.find("a") else {
                panic!("a damaged artifact is used")
            };
            assert_eq!(named, path);
        }
    }
}
