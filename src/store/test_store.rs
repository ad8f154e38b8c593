//! A small store for tests. Each cell is a score cell with a name. The output of a cell is one number.

use std::collections::BTreeMap;

use serde_json::json;
use tempfile::TempDir;

use super::Store;
use super::cell_id::{CellId, CellInputs, StageName};
use super::cell_spec::CellSpec;
use super::claim::Claim;
use super::folders::CellFolder;
use super::lookup::Lookup;
use super::provenance::Provenance;
use super::record::{RECORD_FORMAT, Record};
use super::record_writer::NewRecord;

/// The stage of all cells of a test store.
pub const SCORE: StageName = StageName::new("score");

/// Returns the specification of the cell `name`.
pub fn spec(name: &str) -> CellSpec {
    CellSpec::new(SCORE, 1, &json!({ "name": name }), CellInputs::new()).unwrap()
}

/// Returns the identity of the cell `name`.
pub fn cell(name: &str) -> CellId {
    spec(name).id
}

/// Returns the contents of a new record of the cell `name`.
pub fn new_record(name: &str) -> NewRecord {
    NewRecord {
        spec: spec(name),
        artifacts: Vec::new(),
        references: Vec::new(),
        seconds: 1.5,
        joules: Some(0.25),
        provenance: Provenance::of_this_process("cpu", 1),
    }
}

/// Returns a record that holds `outcome`. The record is in no store.
pub fn record<T>(outcome: T) -> Record<T> {
    Record {
        format: RECORD_FORMAT,
        spec: CellSpec { inputs: CellInputs::from([("base".to_owned(), cell("base"))]), ..spec("cell") },
        attempt: None,
        artifacts: BTreeMap::new(),
        references: vec![cell("referred")],
        seconds: 1.5,
        joules: Some(0.25),
        finished: "2026-01-31T12:00:00Z".to_owned(),
        provenance: Provenance::of_this_process("cpu", 1),
        outcome,
    }
}

/// A store in a temporary folder.
pub struct TestStore {
    pub results: TempDir,
    pub store: Store,
}

impl TestStore {
    pub fn new() -> Self {
        let results = tempfile::tempdir().unwrap();
        let store = Store::open(results.path()).unwrap();
        Self { results, store }
    }

    pub fn folder(&self, name: &str) -> CellFolder {
        self.store.cell_folder(&cell(name))
    }

    pub fn find(&self, name: &str) -> Lookup<f64> {
        self.store.find(&cell(name)).unwrap()
    }

    pub fn claim(&self, name: &str) -> Option<Claim> {
        self.store.try_claim(&cell(name)).unwrap()
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.store.is_running(&cell(name)).unwrap()
    }

    /// Finishes a planned cell, which has a log.
    pub fn finish(&self, name: &str, output: f64) -> Record<f64> {
        let claim = self.claim(name).unwrap();
        claim.open_event_log().unwrap();
        claim.finish(new_record(name), output).unwrap()
    }

    pub fn fail(&self, name: &str, error: &str) {
        self.claim(name).unwrap().fail(new_record(name), error.to_owned()).unwrap();
    }
}
