//! What the tests of the hub share: a base and rows that a server of ours serves, and the program beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dtr::data::synthetic::SyntheticLanguage;
use dtr_core::seed::Seed;
use polars::prelude::{Column, DataFrame, ParquetWriter};

use crate::hub_server::{COMMIT, HubServer, Repos};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A base and rows of the hub, and a cache of its own.
pub struct HubProject {
    pub folder: tempfile::TempDir,
    pub server: HubServer,
}

impl HubProject {
    pub fn new() -> Self {
        Self::serving(repos())
    }

    pub fn serving(repos: Repos) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap(), server: HubServer::start(repos) };
        bench.manifest("main", "hf://datasets/lab/rows@main/data/rows.jsonl");
        bench
    }

    /// Writes a manifest that scores the base of the hub at `revision` on the rows at `rows`.
    pub fn manifest(&self, revision: &str, rows: &str) {
        let text = format!(
            r#"name = "hub"
[models.mini.source.hub]
repo = "lab/mini"
revision = "{revision}"
[tasks.rooms.source.file]
test = "{rows}"
splits = "as-published"
prompt = "{{{{ said }}}} where is the lamp? in the"
choices = {{ fixed = ["kitchen", "garden"] }}
label = "room"
[sweep]
model = ["mini"]
task = ["rooms"]
"#
        );
        fs::write(self.path("hub.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_dtr"));
        program.arg(command).arg(self.path("hub.toml")).arg("--results").arg(self.path("results"));
        program.env("HF_HOME", self.path("home")).env("HF_ENDPOINT", &self.server.endpoint);
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"] {
            program.env_remove(name);
        }
        program
    }

    pub fn sweep(&self) -> Output {
        self.command("sweep").arg("--json").output().unwrap()
    }

    pub fn sweep_well(&self) -> serde_json::Value {
        let output = self.sweep();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A sweep that must fail for want of something of the machine; what it said, on one line.
    pub fn sweep_badly(&self) -> String {
        let output = self.sweep();
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        said(&output)
    }

    /// The cache's folder of the base.
    pub fn cache(&self) -> PathBuf {
        self.path("home/hub/models--lab--mini")
    }

    pub fn weights(&self) -> PathBuf {
        self.cache().join("snapshots").join(COMMIT).join("model.safetensors")
    }

    /// The record of the one cell.
    pub fn record(&self) -> serde_json::Value {
        let mut records = Vec::new();
        find(&self.path("results"), "record.json", &mut records);
        assert_eq!(records.len(), 1);
        let sealed: serde_json::Value = serde_json::from_slice(&fs::read(&records[0]).unwrap()).unwrap();
        sealed["body"].clone()
    }
}

pub fn repos() -> Repos {
    let file =
        |name: &str| (name.to_owned(), fs::read(Path::new(ROOT).join("models/mini").join(name)).unwrap());
    let model = ["README.md", "config.json", "model.safetensors", "tokenizer.json"].map(file);
    let rows: String = [("kitchen", 0), ("garden", 1), ("kitchen", 0)]
        .iter()
        .map(|(room, label)| format!("{{\"said\": \"the lamp is in the {room}.\", \"room\": {label}}}\n"))
        .collect();
    let rows = BTreeMap::from([("data/rows.jsonl".to_owned(), rows.into_bytes())]);
    BTreeMap::from([
        ("lab/mini".to_owned(), BTreeMap::from(model)),
        ("datasets/lab/rows".to_owned(), rows),
        ("datasets/lab/text".to_owned(), text()),
    ])
}

/// Two Parquet files of documents that the base has words for.
pub fn text() -> BTreeMap<String, Vec<u8>> {
    let language = SyntheticLanguage::new(Seed(1));
    let file = |number: u64| {
        let documents = (0..300).map(|index| language.document(Seed(9), 1000 * number + index));
        let column = Column::new("body".into(), documents.collect::<Vec<_>>());
        let mut bytes = Vec::new();
        let mut frame = DataFrame::new(300, vec![column]).unwrap();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        (format!("data/part-{number}.parquet"), bytes)
    };
    BTreeMap::from([file(0), file(1)])
}

pub fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, name, found),
            false if path.ends_with(name) => found.push(path),
            false => {}
        }
    }
}

pub fn said(output: &Output) -> String {
    // Messages are wrapped and framed for people.
    let text = String::from_utf8_lossy(&output.stderr).replace(['│', '×', '\n'], " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
