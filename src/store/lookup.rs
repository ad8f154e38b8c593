//! Finding what cells came to, and claiming those that are still to be done.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, IgnoredAny};

use dtr_core::error::{Error, Result};
use dtr_core::files::{self, FileLock};

use super::cell_spec::CellSpec;
use super::claim::Claim;
use super::key::Key;
use super::layout::{CellFolder, Layout};
use super::record::{self, Outcome, Reading, Record};
use super::stage::Stage;

/// How often [`Store::claim_wait`] looks whether the other process is done.
const WAIT_PAUSE: Duration = Duration::from_millis(200);

/// The results of a folder.
#[derive(Clone, Debug)]
pub struct Store {
    layout: Layout,
}

/// What the store knows of a cell.
#[derive(Debug, PartialEq)]
pub enum Lookup<T> {
    /// Nothing: it never ended.
    Missing,
    /// It ended with a result.
    Done(Record<T>),
    /// It ended with an error.
    Failed(Record<T>),
    /// Its record or an artifact is damaged or another cell's, so the cell has to be done again.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Store {
    /// The store in the folder `results`. Creates nothing: looking leaves no trace.
    pub fn open(results: &Path) -> Result<Self> {
        match results.is_dir() || !results.exists() {
            true => Ok(Self { layout: Layout::new(results) }),
            false => Err(Error::environment(format!("`{}` is not a folder for results", results.display()))),
        }
    }

    /// Where things lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What became of a cell. Of its artifacts only the lengths are looked at; [`Store::artifact`] reads one through.
    pub fn find<T: DeserializeOwned>(&self, stage: Stage, key: &Key) -> Result<Lookup<T>> {
        let folder = self.layout.cell(stage, key);
        let path = folder.record();
        Ok(match record::read(&path, stage, key)? {
            Reading::Missing => Lookup::Missing,
            Reading::Corrupt(why) => Lookup::Corrupt { path, why },
            Reading::Whole(record) => match (&record.outcome, misfit(&folder, &record)?) {
                (Outcome::Failed { .. }, _) => Lookup::Failed(record),
                (Outcome::Done(_), None) => Lookup::Done(record),
                (Outcome::Done(_), Some((path, why))) => Lookup::Corrupt { path, why },
            },
        })
    }

    /// The file of a record's artifact, after reading it through and comparing digests.
    pub fn artifact<T>(&self, record: &Record<T>, name: &str) -> Result<PathBuf> {
        let folder = self.layout.cell(record.stage, &record.key);
        let Some(expected) = record.artifacts.get(name) else {
            let message = format!("{} cell {} has no artifact `{name}`", record.stage, record.key.short());
            return Err(Error::failed(message));
        };
        let path = folder.artifact(name)?;
        match files::digest_file(&path)? == expected.digest {
            true => Ok(path),
            false => {
                Err(Error::environment(format!("`{}` is not the file that was recorded", path.display()))
                    .hint("`dtr sweep` makes it again"))
            }
        }
    }

    /// Claims a cell for this process; `None` while another has it.
    ///
    /// Look with [`Store::find`] once more after claiming: the other may just have finished.
    pub fn claim(&self, stage: Stage, key: &Key) -> Result<Option<Claim>> {
        let folder = self.layout.cell(stage, key);
        // A record that this program cannot replace is better known before the work than after it.
        record::read::<IgnoredAny>(&folder.record(), stage, key)?;
        let Some(lock) = FileLock::try_acquire(&folder.lock())? else { return Ok(None) };
        files::remove_temporary_files(folder.path())?;
        Ok(Some(Claim::new(stage, *key, folder, lock)))
    }

    /// Claims a cell, waiting for another process that has it.
    ///
    /// `waiting` is told from time to time how long it has been; an error from it ends the wait.
    pub fn claim_wait(
        &self,
        stage: Stage,
        key: &Key,
        mut waiting: impl FnMut(Duration) -> Result<()>,
    ) -> Result<Claim> {
        let start = Instant::now();
        loop {
            if let Some(claim) = self.claim(stage, key)? {
                return Ok(claim);
            }
            waiting(start.elapsed())?;
            std::thread::sleep(WAIT_PAUSE);
        }
    }

    /// Whether some process, this one included, is at work on a cell.
    pub fn is_running(&self, stage: Stage, key: &Key) -> Result<bool> {
        FileLock::is_held(&self.layout.cell(stage, key).lock())
    }

    /// The cells of a stage that ended, in the order of their keys: what each did, not what it came to.
    pub fn cell_specs(&self, stage: Stage) -> Result<Vec<CellSpec>> {
        let cells = self.layout.cells(stage)?.into_iter();
        let ended = cells.map(|(_, folder)| folder).filter(|folder: &CellFolder| folder.record().exists());
        Ok(ended.filter_map(|folder| CellSpec::read(&folder)).collect())
    }
}

/// The first artifact of a record that is not there at its length, and what is there.
fn misfit<T>(folder: &CellFolder, record: &Record<T>) -> Result<Option<(PathBuf, String)>> {
    for (name, artifact) in &record.artifacts {
        let path = folder.artifact(name)?;
        match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() == artifact.bytes => {}
            Ok(found) if found.is_file() => {
                let why = format!("it has {} bytes, and {} were recorded", found.len(), artifact.bytes);
                return Ok(Some((path, why)));
            }
            Ok(_) => return Ok(Some((path, "it is not a file".to_owned()))),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                return Ok(Some((path, "it is gone".to_owned())));
            }
            Err(cause) => return Err(Error::io("look at", &path, cause)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::envelope;
    use super::super::fixtures::{self, Shelf};
    use super::*;

    #[test]
    fn what_was_finished_is_found_and_the_rest_is_missing() {
        let shelf = Shelf::new();
        let record = shelf.finish("a", Outcome::Done(0.75));
        assert_eq!(shelf.find("a"), Lookup::Done(record));
        assert_eq!(shelf.find("b"), Lookup::Missing);
        let record = shelf.finish("b", Outcome::Failed { error: "out of memory".to_owned() });
        assert_eq!(shelf.find("b"), Lookup::Failed(record));
        let done: Vec<Key> =
            shelf.store.cell_specs(Stage::Score).unwrap().iter().map(|outline| outline.key).collect();
        assert_eq!(done.len(), 2);
        assert!(done.contains(&fixtures::key("a")));
    }

    #[test]
    fn looking_creates_nothing() {
        let shelf = Shelf::new();
        let results = shelf.results.path().join("later");
        let store = Store::open(&results).unwrap();
        assert_eq!(store.find::<f64>(Stage::Score, &fixtures::key("a")).unwrap(), Lookup::Missing);
        assert!(!store.is_running(Stage::Score, &fixtures::key("a")).unwrap());
        assert!(store.cell_specs(Stage::Score).unwrap().is_empty());
        assert!(!results.exists());
    }

    #[test]
    fn a_file_is_no_results_folder() {
        let shelf = Shelf::new();
        let path = shelf.results.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(Store::open(&path).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_found_out() {
        let shelf = Shelf::new();
        shelf.finish("a", Outcome::Done(0.75));
        let path = shelf.folder("a").record();
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            assert!(matches!(shelf.find("a"), Lookup::Corrupt { .. }), "bit {bit}");
        }
    }

    #[test]
    fn a_record_moved_to_another_cell_is_found_out() {
        let shelf = Shelf::new();
        shelf.finish("a", Outcome::Done(0.75));
        let stranger = shelf.folder("b");
        fs::create_dir_all(stranger.path()).unwrap();
        fs::copy(shelf.folder("a").record(), stranger.record()).unwrap();
        let Lookup::Corrupt { path, why } = shelf.find("b") else { panic!("served a stranger's record") };
        assert_eq!(path, stranger.record());
        assert!(why.contains(&fixtures::key("a").to_string()));
    }

    #[test]
    fn a_newer_record_is_refused_and_left_as_it_is() {
        let shelf = Shelf::new();
        let path = shelf.folder("a").record();
        let newer = envelope::seal("{\"format\":2,\"rest\":\"unknown\"}");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &newer).unwrap();
        let key = fixtures::key("a");
        assert!(shelf.store.find::<f64>(Stage::Score, &key).is_err());
        assert!(shelf.store.claim(Stage::Score, &key).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }

    #[test]
    fn an_artifact_is_served_until_a_bit_of_it_flips() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        fs::write(claim.artifact("twins").unwrap(), b"weights").unwrap();
        let draft = fixtures::draft("a", Outcome::Done(0.75));
        let record = claim.finish(draft.with_artifacts(["twins"])).unwrap();
        assert_eq!(record.artifacts["twins"].bytes, 7);
        let path = shelf.store.artifact(&record, "twins").unwrap();
        assert!(shelf.store.artifact(&record, "other").is_err());
        assert_eq!(shelf.find("a"), Lookup::Done(record.clone()));
        fs::write(&path, b"weighty").unwrap();
        let refused = shelf.store.artifact(&record, "twins").unwrap_err();
        assert!(refused.to_string().contains(&path.display().to_string()));
        let damages: [fn(&Path); 3] = [
            |path| fs::write(path, b"weight").unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
        ];
        for damage in damages {
            damage(&path);
            let Lookup::Corrupt { path: named, .. } = shelf.find("a") else {
                panic!("served what is not there")
            };
            assert_eq!(named, path);
        }
    }
}
