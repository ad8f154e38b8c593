//! Reading everything again: whether each record, and each file that it vouches for, is what was written.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use dtr_core::error::Result;

use super::cell_spec::CellSpec;
use super::events::read_events;
use super::key::Key;
use super::layout::CellFolder;
use super::lookup::Store;
use super::record::{self, Reading, Record};
use super::stage::Stage;

/// A file that is not what it was or should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What reading everything again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Records that were read.
    pub num_records: usize,
    /// Files beside them that were read.
    pub num_files: usize,
    /// What was wrong.
    pub faults: Vec<Fault>,
}

impl Store {
    /// Reads every record of the store and all that lies beside it; changes nothing.
    ///
    /// # Errors
    /// When folders cannot be listed. A file that cannot be read is a fault.
    pub fn audit(&self) -> Result<Audit> {
        let mut audit = Audit::default();
        for stage in Stage::ALL {
            for (key, folder) in self.layout().cells(stage)? {
                if folder.record().exists() {
                    self.audit_cell(stage, &key, &folder, &mut audit);
                }
            }
        }
        Ok(audit)
    }

    fn audit_cell(&self, stage: Stage, key: &Key, folder: &CellFolder, audit: &mut Audit) {
        audit.num_records += 1;
        let mut fault = |path: PathBuf, why: String| audit.faults.push(Fault { path, why });
        let record = match record::read::<Value>(&folder.record(), stage, key) {
            Ok(Reading::Whole(record)) => record,
            Ok(Reading::Corrupt(why)) => return fault(folder.record(), why),
            Ok(Reading::Missing) => return fault(folder.record(), "it is gone".to_owned()),
            Err(error) => return fault(folder.record(), error.to_line()),
        };
        let outline = outline_of(&record);
        if !outline.key_matches().is_ok_and(|sound| sound) {
            fault(folder.record(), "its spec and inputs do not make its key".to_owned());
        }
        if CellSpec::read(folder).is_none_or(|written| written != outline) {
            fault(folder.spec(), "it is not the spec of the record beside it".to_owned());
        }
        if let Err(error) = read_events(&folder.events()) {
            fault(folder.events(), error.to_line());
        }
        for name in record.artifacts.keys() {
            if let Err(error) = self.artifact(&record, name) {
                fault(folder.path().join(name), error.message_with_sources());
            }
        }
        audit.num_files += record.artifacts.len() + 2;
    }
}

fn outline_of(record: &Record<Value>) -> CellSpec {
    CellSpec {
        stage: record.stage,
        key: record.key,
        version: record.version,
        spec: record.spec.clone(),
        inputs: record.inputs.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixtures::{self, Shelf};
    use super::super::{EventKind, Outcome};

    #[test]
    fn every_damage_is_named_by_its_file_and_a_sound_store_has_none() {
        let shelf = Shelf::new();
        let claim = shelf.claim("a").unwrap();
        claim.events().unwrap().append(EventKind::Started).unwrap();
        fs::write(claim.artifact("twins").unwrap(), "weights").unwrap();
        claim.finish(fixtures::draft("a", Outcome::Done(0.5)).with_artifacts(["twins"])).unwrap();
        shelf.finish("b", Outcome::Failed { error: "no luck".to_owned() });
        let sound = shelf.store.audit().unwrap();
        assert_eq!((sound.num_records, sound.num_files, sound.faults.len()), (2, 5, 0));
        let folder = shelf.folder("a");
        let files = [folder.record(), folder.spec(), folder.events(), folder.path().join("twins")];
        for path in files {
            let whole = fs::read(&path).unwrap();
            for damaged in [
                b"weighty\n".to_vec(),
                whole.iter().map(|byte| if *byte == b'\n' { *byte } else { byte ^ 1 }).collect(),
            ] {
                fs::write(&path, damaged).unwrap();
                let faults = shelf.store.audit().unwrap().faults;
                assert_eq!(faults.iter().map(|fault| &fault.path).collect::<Vec<_>>(), [&path]);
            }
            fs::write(&path, whole).unwrap();
        }
    }
}
