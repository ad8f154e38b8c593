//! A small store for tests: score cells told apart by a name, whose result is one number.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::claim::Claim;
use super::draft::Draft;
use super::key::{Key, key_of};
use super::layout::CellFolder;
use super::lookup::{Lookup, Store};
use super::provenance::Provenance;
use super::record::{FORMAT, Outcome, Record};
use super::stage::Stage;

fn spec(name: &str) -> Value {
    json!({ "name": name })
}

pub fn key(name: &str) -> Key {
    key_of(Stage::Score, Stage::Score.version(), &spec(name), &BTreeMap::new()).unwrap()
}

pub fn draft<T>(name: &str, outcome: Outcome<T>) -> Draft<T> {
    let provenance = Provenance::here("cpu", 1);
    let (artifacts, inputs) = (Vec::new(), BTreeMap::new());
    Draft { spec: spec(name), inputs, artifacts, seconds: 1.5, joules: Some(0.25), provenance, outcome }
}

impl<T> Draft<T> {
    /// Adds artifacts by name.
    pub fn with_artifacts<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.artifacts = names.map(str::to_owned).to_vec();
        self
    }
}

pub fn record<T>(outcome: Outcome<T>) -> Record<T> {
    Record {
        format: FORMAT,
        stage: Stage::Score,
        key: key("cell"),
        version: Stage::Score.version(),
        spec: spec("cell"),
        inputs: BTreeMap::from([("base".to_owned(), key("base"))]),
        artifacts: BTreeMap::new(),
        seconds: 1.5,
        joules: Some(0.25),
        finished: "2026-01-31T12:00:00Z".to_owned(),
        provenance: Provenance::here("cpu", 1),
        outcome,
    }
}

/// A store in a folder of its own.
pub struct Shelf {
    pub results: TempDir,
    pub store: Store,
}

impl Shelf {
    pub fn new() -> Self {
        let results = tempfile::tempdir().unwrap();
        let store = Store::open(results.path()).unwrap();
        Self { results, store }
    }

    pub fn folder(&self, name: &str) -> CellFolder {
        self.store.layout().cell(Stage::Score, &key(name))
    }

    pub fn find(&self, name: &str) -> Lookup<f64> {
        self.store.find(Stage::Score, &key(name)).unwrap()
    }

    pub fn claim(&self, name: &str) -> Option<Claim> {
        self.store.claim(Stage::Score, &key(name)).unwrap()
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.store.is_running(Stage::Score, &key(name)).unwrap()
    }

    pub fn finish(&self, name: &str, outcome: Outcome<f64>) -> Record<f64> {
        self.claim(name).unwrap().finish(draft(name, outcome)).unwrap()
    }
}
