//! A results folder of the small manifest, and what is to be read from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A base of 4 layers, two variants, two tasks: seconds.
pub const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests/small.toml");

/// Training and distilling for seconds, so that they write checkpoints.
pub const LONG: [&str; 4] =
    ["--set", r#"pretrain.token-budget="48k""#, "--set", r#"distil.token-budget="32k""#];

/// One variant and one task, where the others would show nothing more.
pub const ONE: [&str; 4] = ["--set", r#"sweep.variant=["gla"]"#, "--set", r#"sweep.task=["recall"]"#];

/// Far more than anything takes, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// What a calm sweep of `LONG` comes to.
pub fn calm_long() -> &'static Outcome {
    static CALM: OnceLock<Outcome> = OnceLock::new();
    CALM.get_or_init(|| {
        let bench = Project::new();
        bench.sweep(&LONG);
        bench.outcome("small")
    })
}

/// Bytes of tables and figures by file name.
pub type Outcome = BTreeMap<String, Vec<u8>>;

/// A folder for results.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    /// The same results in another folder.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for path in self.files("") {
            let target = copy.results().join(path.strip_prefix(self.results()).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).unwrap();
        }
        copy
    }

    pub fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_dtr"));
        program.arg(command).arg(MANIFEST).arg("--results").arg(self.results()).args(more);
        program
    }

    pub fn dtr(&self, command: &str, more: &[&str]) -> Output {
        self.command(command, more).output().unwrap()
    }

    /// A sweep that is to end well; its summary.
    pub fn sweep(&self, more: &[&str]) -> Value {
        let output = self.dtr("sweep", &[&["--json"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn start(&self, more: &[&str]) -> Child {
        self.command("sweep", more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Bytes of all tables and figures whose content does not speak of time.
    pub fn outcome(&self, name: &str) -> Outcome {
        let mut outcome = BTreeMap::new();
        for path in ["tables", "figures"].iter().flat_map(|kind| self.files(&format!("{kind}/{name}"))) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !["stages.parquet", "cost.parquet", "table2.parquet", "index.html", ".lock"].contains(&&*name)
            {
                outcome.insert(name, fs::read(path).unwrap());
            }
        }
        assert!(outcome.contains_key("searches.parquet"));
        outcome
    }

    /// All files below a folder of the results, in order.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = walk(&self.results().join(folder));
        found.sort();
        found
    }

    /// The files of the store that are called `name`, of a stage or of all.
    pub fn named(&self, stage: &str, name: &str) -> Vec<PathBuf> {
        self.files(&format!("cells-v1/{stage}")).into_iter().filter(|path| path.ends_with(name)).collect()
    }

    /// What happened to the cells of a stage, with the process that told it.
    pub fn happenings(&self, stage: &str) -> Vec<(PathBuf, u64, Value)> {
        let lines = self.named(stage, "events.jsonl").into_iter().flat_map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            text.lines().map(|line| (path.clone(), line.to_owned())).collect::<Vec<_>>()
        });
        // A kill may tear the last line.
        let event = |(path, line): (PathBuf, String)| {
            let event: Value = serde_json::from_str(&line).ok()?;
            let event = &event["event"];
            Some((path, event["process"].as_u64().unwrap(), event["what"].clone()))
        };
        lines.filter_map(event).collect()
    }

    /// What was said in the logs of a stage's cells.
    pub fn said(&self, stage: &str) -> Vec<String> {
        let happenings = self.happenings(stage).into_iter();
        happenings.filter_map(|(_, _, what)| what["said"].as_str().map(str::to_owned)).collect()
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

pub fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Waits until `happened`, as long as a loaded machine may take.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
