//! A project for tests that run the program: a manifest, a results folder, and commands that use the manifest
//! and the folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use dtr::store::{CellEvent, EventKind, read_events};
use polars::prelude::{DataFrame, ParquetReader, SerReader};

use crate::dtr_command::DtrCommand;
use crate::temp_folder::TempFolder;

/// Settings for sweeps with one variant and one task.
pub const ONE_SEARCH: &[&str] = &[r#"sweep.variant=["gla"]"#, r#"sweep.task=["recall"]"#];

/// Settings for sweeps whose pretraining and distillation take several seconds, so that the sweeps write
/// checkpoints.
pub const WITH_CHECKPOINTS: &[&str] = &[r#"pretrain.token-budget="48k""#, r#"distil.token-budget="32k""#];

/// Settings for sweeps whose searches replace several layers.
pub const LONG_SEARCHES: &[&str] = &["search.stop={ max-relative-drop = 0.5 }"];

/// The folder of cells in a results folder.
const CELLS: &str = "cells-v2";

/// Files that `Project::comparable_outputs` leaves out: the lock file, and the tables and the page that
/// contain times.
///
/// `throughput.parquet` and `speedup.parquet` contain times too, but need no entry: the compared experiments
/// measure no throughput, so these tables are empty.
const NOT_COMPARED: [&str; 5] =
    ["stages.parquet", "compute_hours.parquet", "cost.parquet", "index.html", ".lock"];

/// Maximum time that a test waits for an event. Even on a busy machine, every event comes much sooner.
const EVENT_TIMEOUT: Duration = Duration::from_secs(240);

/// The contents of tables and figures. The keys are file names.
pub type Outputs = BTreeMap<String, Vec<u8>>;

/// A manifest with settings, and a temporary folder for its results.
pub struct Project {
    manifest: PathBuf,
    settings: Vec<String>,
    folder: TempFolder,
}

impl Project {
    /// Creates a project of `tests/manifests/small.toml`: a base of 4 layers, two variants and two tasks.
    ///
    /// A sweep of the project takes seconds.
    pub fn new() -> Self {
        Self::with_settings(&[])
    }

    /// Creates a project of the small manifest. All of its commands get `--set` for each of `settings`.
    pub fn with_settings(settings: &[&str]) -> Self {
        Self::from_manifest("tests/manifests/small.toml", settings)
    }

    /// Creates a project of the manifest at the path `manifest` in the repository.
    pub fn from_manifest(manifest: &str, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { manifest: repository_root().join(manifest), settings, folder: TempFolder::new() }
    }

    /// Creates a project of the manifest with the text `manifest`. `files` are the names and contents of
    /// files beside the manifest.
    pub fn from_text(manifest: &str, files: &[(&str, &str)]) -> Self {
        let folder = TempFolder::new();
        files.iter().for_each(|(name, content)| drop(folder.write(name, content)));
        Self { manifest: folder.write("manifest.toml", manifest), settings: Vec::new(), folder }
    }

    /// Returns a project of the small manifest whose sweep is done.
    ///
    /// Tests with the same settings share the project, so they must only read it.
    pub fn finished(settings: &[&str]) -> &'static Self {
        static PROJECTS: Mutex<BTreeMap<Vec<String>, &OnceLock<Project>>> = Mutex::new(BTreeMap::new());
        let project = Self::with_settings(settings);
        let mut projects = PROJECTS.lock().unwrap();
        let shared = *projects.entry(project.settings.clone()).or_insert_with(|| Box::leak(Box::default()));
        drop(projects);
        shared.get_or_init(|| {
            project.sweep().success();
            project
        })
    }

    /// Copies the project with its results.
    pub fn copy(&self) -> Self {
        let (manifest, settings) = (self.manifest.clone(), self.settings.clone());
        let copy = Self { manifest, settings, folder: TempFolder::new() };
        for path in self.files("") {
            let target = copy.results().join(path.strip_prefix(self.results()).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).unwrap();
        }
        copy
    }

    /// Returns the path of `name` in the project's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    pub fn results(&self) -> PathBuf {
        self.path("results")
    }

    /// Creates the command `dtr NAME` with the manifest, the settings and the results folder.
    pub fn command(&self, name: &str) -> DtrCommand {
        self.command_in(name, &self.results())
    }

    /// Creates the command `dtr NAME` with the manifest, the settings and another results folder.
    pub fn command_in(&self, name: &str, results: &Path) -> DtrCommand {
        let command = DtrCommand::new(name).arg(&self.manifest).arg("--results").arg(results);
        self.settings.iter().fold(command, |command, setting| command.set(setting))
    }

    pub fn sweep(&self) -> DtrCommand {
        self.command("sweep")
    }

    pub fn plan(&self) -> DtrCommand {
        self.command("plan")
    }

    /// Returns the files below a folder in the results folder, sorted by path.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = files_below(&self.results().join(folder));
        files.sort();
        files
    }

    /// Returns the files called `name` in the cell folders of a stage. If `stage` is empty, returns the files
    /// of all stages.
    pub fn cell_files(&self, stage: &str, name: &str) -> Vec<PathBuf> {
        let files = self.files(&format!("{CELLS}/{stage}"));
        files.into_iter().filter(|path| path.ends_with(name)).collect()
    }

    /// Returns the paths of the records of a stage, sorted.
    pub fn records(&self, stage: &str) -> Vec<PathBuf> {
        self.files(&format!("{CELLS}/{stage}")).into_iter().filter(|path| is_record(path)).collect()
    }

    pub fn record_path(&self, stage: &str, key: &str) -> PathBuf {
        self.cell_folder(stage, key).with_extension("json")
    }

    pub fn cell_folder(&self, stage: &str, key: &str) -> PathBuf {
        self.results().join(CELLS).join(stage).join(&key[..2]).join(key)
    }

    pub fn num_records(&self, stage: &str) -> usize {
        self.records(stage).len()
    }

    /// Returns the events in the logs of a stage's cells, in the order of their times. Each event comes with
    /// the folder of its cell.
    pub fn events(&self, stage: &str) -> Vec<(PathBuf, CellEvent)> {
        let logs = self.cell_files(stage, "events.jsonl").into_iter();
        let events = |log: PathBuf| {
            let events = read_events(&log).unwrap();
            let folder = cell_folder_of(&log);
            events.into_iter().map(move |event| (folder.clone(), event))
        };
        let mut events: Vec<_> = logs.flat_map(events).collect();
        events.sort_by(|(_, one), (_, other)| one.at.cmp(&other.at));
        events
    }

    /// Counts how often cells of a stage were started.
    pub fn num_started(&self, stage: &str) -> usize {
        self.events(stage).iter().filter(|(_, event)| event.kind == EventKind::Started).count()
    }

    /// Returns the messages in the logs of a stage's cells.
    pub fn messages(&self, stage: &str) -> Vec<String> {
        let message = |(_, event): (PathBuf, CellEvent)| match event.kind {
            EventKind::Message(message) => Some(message),
            _ => None,
        };
        self.events(stage).into_iter().filter_map(message).collect()
    }

    pub fn table_of(&self, experiment: &str, table: &str) -> DataFrame {
        let path = self.results().join(format!("tables/{experiment}/{table}.parquet"));
        ParquetReader::new(File::open(path).unwrap()).finish().unwrap()
    }

    /// Reads a table of the small experiment.
    pub fn table(&self, table: &str) -> DataFrame {
        self.table_of("small", table)
    }

    /// Reads the report page of the small experiment.
    pub fn page(&self) -> Vec<u8> {
        fs::read(self.results().join("tables/small/index.html")).unwrap()
    }

    /// Reads all tables and figures of an experiment, except those in `NOT_COMPARED`.
    pub fn comparable_outputs_of(&self, experiment: &str) -> Outputs {
        let folders = [format!("tables/{experiment}"), format!("figures/{experiment}")];
        let named = |path: PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (!NOT_COMPARED.contains(&&*name)).then(|| (name, fs::read(path).unwrap()))
        };
        let outputs: Outputs =
            folders.iter().flat_map(|folder| self.files(folder)).filter_map(named).collect();
        assert!(outputs.contains_key("searches.parquet"), "`searches.parquet` is missing");
        outputs
    }

    /// Reads all tables and figures of the small experiment, except those in `NOT_COMPARED`.
    pub fn comparable_outputs(&self) -> Outputs {
        self.comparable_outputs_of("small")
    }
}

/// Returns whether a file is the record of a cell.
pub fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
        && path.file_stem().is_some_and(|stem| stem.len() == 64)
}

/// Returns the folder of the cell to which a log or an artifact belongs.
pub fn cell_folder_of(file: &Path) -> PathBuf {
    let is_key = |folder: &&Path| folder.file_name().is_some_and(|name| name.len() == 64);
    file.ancestors().find(is_key).unwrap().to_owned()
}

/// Returns the root of the repository.
pub fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below a folder in any order. A missing folder has no files.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Waits until `condition` returns true. Panics if the wait takes longer than [`EVENT_TIMEOUT`].
pub fn wait_until(event: &str, condition: impl FnMut() -> bool) {
    wait_at_most(EVENT_TIMEOUT, event, condition);
}

/// Waits until `condition` returns true. Panics if the wait takes longer than `limit`.
pub fn wait_at_most(limit: Duration, event: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{event} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
