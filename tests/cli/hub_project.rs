//! A project whose base and task rows are in repositories of a local server that replaces the Hugging Face
//! hub.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use dtr::data::synthetic::SyntheticLanguage;
use dtr_core::seed::Seed;
use polars::prelude::{Column, DataFrame, ParquetWriter};
use serde_json::Value;

use crate::dtr_command::DtrCommand;
use crate::hub_server::{COMMIT, HubServer, Repositories};
use crate::project::{files_below, is_record, repository_root};
use crate::temp_folder::TempFolder;

/// The URI of the task rows on the hub, at the branch `main`.
pub const ROWS_URI: &str = "hf://datasets/lab/rows@main/data/rows.jsonl";

/// A folder with a manifest and an empty cache, and the hub server with the repositories of the manifest.
pub struct HubProject {
    pub folder: TempFolder,
    pub server: HubServer,
}

impl HubProject {
    pub fn new() -> Self {
        Self::with_repositories(repositories())
    }

    pub fn with_repositories(repositories: Repositories) -> Self {
        let project = Self { folder: TempFolder::new(), server: HubServer::start(repositories) };
        project.write_manifest("main", ROWS_URI);
        project
    }

    /// Writes a manifest that scores the hub's base at `revision` on the rows at the path or URI `rows`.
    pub fn write_manifest(&self, revision: &str, rows: &str) {
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
        self.folder.write("hub.toml", text);
    }

    pub fn results(&self) -> PathBuf {
        self.folder.path("results")
    }

    /// Creates the command `dtr NAME` with the manifest, the results folder and the cache. Removes the user's
    /// hub settings from the command's environment.
    pub fn command(&self, name: &str) -> DtrCommand {
        let command = DtrCommand::new(name).arg(self.folder.path("hub.toml"));
        let command = command.arg("--results").arg(self.results());
        ["HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"]
            .iter()
            .fold(command, |command, name| command.without_env(name))
            .env("HF_HOME", self.folder.path("home"))
            .env("HF_ENDPOINT", &self.server.endpoint)
    }

    pub fn sweep(&self) -> DtrCommand {
        self.command("sweep")
    }

    /// Runs a sweep that must end with exit code 5, and returns its message on one line.
    pub fn failing_sweep(&self) -> String {
        self.sweep().exit(5).message()
    }

    /// Returns the folder of the base's repository in the cache.
    pub fn cached_repository(&self) -> PathBuf {
        self.folder.path("home/hub/models--lab--mini")
    }

    /// Returns the path of the base's weights in the cache.
    pub fn cached_weights(&self) -> PathBuf {
        self.cached_repository().join("snapshots").join(COMMIT).join("model.safetensors")
    }

    /// Returns the files called `name` below the results folder.
    pub fn result_files(&self, name: &str) -> Vec<PathBuf> {
        files_below(&self.results()).into_iter().filter(|path| path.ends_with(name)).collect()
    }

    /// Returns the record of the only cell.
    pub fn record(&self) -> Value {
        let mut records = files_below(&self.results());
        records.retain(|path| is_record(path));
        assert_eq!(records.len(), 1);
        let file: Value = serde_json::from_slice(&fs::read(&records[0]).unwrap()).unwrap();
        file["body"].clone()
    }
}

/// Returns the repositories of the hub: a base, the rows of a task, and the documents of a corpus.
pub fn repositories() -> Repositories {
    let base = repository_root().join("models/mini");
    let file = |name: &str| (name.to_owned(), fs::read(base.join(name)).unwrap());
    let model = ["README.md", "config.json", "model.safetensors", "tokenizer.json"].map(file);
    let rows: String = [("kitchen", 0), ("garden", 1), ("kitchen", 0)]
        .iter()
        .map(|(room, label)| format!("{{\"said\": \"the lamp is in the {room}.\", \"room\": {label}}}\n"))
        .collect();
    let rows = BTreeMap::from([("data/rows.jsonl".to_owned(), rows.into_bytes())]);
    BTreeMap::from([
        ("lab/mini".to_owned(), BTreeMap::from(model)),
        ("datasets/lab/rows".to_owned(), rows),
        ("datasets/lab/text".to_owned(), documents()),
    ])
}

/// Returns two Parquet files of documents whose words the base's tokenizer knows.
pub fn documents() -> BTreeMap<String, Vec<u8>> {
    let language = SyntheticLanguage::new(Seed(1));
    let file = |number: u64| {
        let documents = (0..300).map(|index| language.document(Seed(9), 1000 * number + index));
        let column = Column::new("body".into(), documents.collect::<Vec<_>>());
        let mut bytes = Vec::new();
        let mut table = DataFrame::new(300, vec![column]).unwrap();
        ParquetWriter::new(&mut bytes).finish(&mut table).unwrap();
        (format!("data/part-{number}.parquet"), bytes)
    };
    BTreeMap::from([file(0), file(1)])
}
