//! Tests of `dtr publish`. `dtr report` and `dtr verify` can read the published results in a clone without
//! bases, data files and twins.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dtr_core::files::Digest;
use lzma_rust2::{XzOptions, XzReader, XzWriter};
use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::project::{ONE_SEARCH, Project, files_below, repository_root};
use crate::temp_folder::TempFolder;

/// The name of the archive in a folder of published results.
const ARCHIVE: &str = "records/small.jsonl.xz";

/// A folder that holds only a manifest and published results, like a clone of a repository.
struct Clone {
    folder: TempFolder,
    settings: Vec<String>,
}

impl Clone {
    /// Publishes the results of `project`, and copies them with the manifest to another folder.
    fn of(project: &Project, settings: &[&str]) -> Self {
        let folder = TempFolder::new();
        let published = project.command("publish").arg(folder.path("original")).success();
        assert!(published.stdout().contains(ARCHIVE), "{}", published.stdout());
        let clone = Self { folder, settings: settings.iter().map(|set| (*set).to_owned()).collect() };
        for file in
            ["tests/manifests/small.toml", "experiments/base/variants.toml", "experiments/base/recipe.toml"]
        {
            clone.folder.write(&format!("clone/{file}"), fs::read(repository_root().join(file)).unwrap());
        }
        let original = clone.folder.path("original");
        for path in files_below(&original) {
            let name = path.strip_prefix(&original).unwrap().to_string_lossy().into_owned();
            clone.folder.write(&format!("clone/published/{name}"), fs::read(&path).unwrap());
        }
        clone
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path("clone").join(name)
    }

    /// Creates the command `dtr NAME` with the manifest, the settings and the published results.
    fn command(&self, name: &str) -> DtrCommand {
        let command = DtrCommand::new(name).current_dir(&self.path("")).arg("tests/manifests/small.toml");
        let command = command.args(["--results", "published"]);
        self.settings.iter().fold(command, |command, setting| command.set(setting))
    }

    fn verify(&self) -> DtrCommand {
        self.command("verify").args(["--json", "--without-artifacts"])
    }

    /// Returns the content of every published file except locks, by its path in the folder.
    fn published(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files_below(&self.path("published")).into_iter().filter(|path| !path.ends_with(".lock"));
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// Replaces `from` by `to` in the first line of the archive that contains `stage` and `from`. If `digest`
    /// is true, the line gets a valid digest.
    fn forge(&self, stage: &str, from: &str, to: &str, digest: bool) {
        let path = self.path("published").join(ARCHIVE);
        let text = io::read_to_string(XzReader::new(File::open(&path).unwrap(), false)).unwrap();
        let stage = format!("\"stage\":\"{stage}\"");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let is_forged = |line: &&mut String| line.contains(&stage) && line.contains(from);
        let line = lines.iter_mut().skip(1).find(is_forged).expect("no line contains the text");
        let body = line.split_once(",\"body\":").unwrap().1.strip_suffix('}').unwrap();
        let forged = body.replacen(from, to, 1);
        assert_ne!(body, forged);
        let of_digest = Digest::hash(if digest { forged.as_bytes() } else { body.as_bytes() });
        *line = format!("{{\"digest\":\"{of_digest}\",\"body\":{forged}}}");
        let mut writer = XzWriter::new(File::create(&path).unwrap(), XzOptions::with_preset(0)).unwrap();
        writer.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        writer.finish().unwrap();
    }
}

/// Returns a clone of the published results of the shared sweep with one search.
fn clone() -> Clone {
    Clone::of(Project::finished(ONE_SEARCH), ONE_SEARCH)
}

/// Returns the reasons for the differences in the summary of `dtr verify`.
fn reasons(summary: &Value) -> Vec<String> {
    let differences = summary["differences"].as_array().unwrap().iter();
    differences.map(|difference| difference["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_report_from_a_clone_has_the_bytes_that_were_published() {
    let project = Project::finished(ONE_SEARCH);
    let clone = clone();
    let published = clone.published();
    for (path, bytes) in &published {
        let name = path.strip_prefix(clone.path("published")).unwrap();
        let file = name.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!file.ends_with(".safetensors"), "{file}");
        // The page has no links to records, because the archive holds them all.
        if !name.starts_with("records") && file != "index.html" {
            assert!(*bytes == fs::read(project.results().join(name)).unwrap(), "{file}");
        }
    }
    for folder in ["tables", "figures"] {
        fs::remove_dir_all(clone.path("published").join(folder)).unwrap();
    }
    let report = clone.command("report").success();
    assert!(report.stdout().contains("recall"), "{}", report.stdout());
    assert!(clone.published() == published);
    assert!(published.len() > 15, "{:?}", published.keys());
}

#[test]
fn published_results_are_verified_without_artifacts() {
    let clone = clone();
    let summary = clone.verify().success().json();
    assert_eq!(summary["differences"], json!([]));
    assert!(
        summary["records"].as_u64().unwrap() > 5 && summary["tables"].as_u64().unwrap() > 15,
        "{summary}"
    );
    assert_eq!(summary["recomputed"], json!([]));
    clone.command("verify").exit(2).stderr_contains("add `--without-artifacts`");
    let path = clone.path("published/tables/small/searches.parquet");
    fs::write(&path, fs::read(clone.path("published/tables/small/items.parquet")).unwrap()).unwrap();
    let summary = clone.verify().exit(1).json();
    assert_eq!(reasons(&summary), ["it differs from the file that is rebuilt from the records"]);
}

#[test]
fn the_results_in_this_repository_are_verified() {
    let verify = DtrCommand::new("verify").current_dir(repository_root());
    let verify = verify.args(["experiments/published-bases.toml", "--results", "results/published"]);
    let summary = verify.args(["--json", "--without-artifacts"]).success().json();
    assert_eq!(summary["differences"], json!([]));
    assert!(summary["records"].as_u64().unwrap() > 13_000, "{summary}");
}

#[test]
fn a_changed_number_in_an_archive_is_found() {
    for (stage, from, to, digest, reason) in [
        // A record whose digest does not match is damaged.
        ("distil", "\"final\":", "\"final\":1", false, "its content has digest"),
        // A forged record with a valid digest contradicts the tables or other records.
        ("distil", "\"final\":", "\"final\":1", true, "differs from the file that is rebuilt"),
        ("score", "\"choices\":[", "\"choices\":[9,", true, "number of items is wrong"),
        ("score", "\"num_correct\":", "\"num_correct\":1", true, "number of correct answers is wrong"),
        (
            "search",
            "\"base_test\":{\"score\":",
            "\"base_test\":{\"score\":0.03,\"was\":",
            true,
            "a test score is 0.03",
        ),
        ("search", "\"num_layers\":4", "\"num_layers\":4000000000", true, "number of layers is impossible"),
    ] {
        let clone = clone();
        clone.forge(stage, from, to, digest);
        let summary = clone.verify().exit(1).json();
        let reasons = reasons(&summary);
        assert!(reasons.iter().any(|found| found.contains(reason)), "{stage} {from}: {reasons:?}");
    }
}

#[test]
fn a_report_of_contradictory_records_is_refused() {
    let clone = clone();
    clone.forge("search", "\"num_layers\":4", "\"num_layers\":4000000000", true);
    let refused = clone.command("report").exit(5);
    assert!(refused.message().contains("number of layers is impossible"), "{}", refused.message());
}

#[test]
fn a_manifest_that_says_something_else_is_refused() {
    let clone = clone();
    for (set, difference) in [
        ("distil.seed=3", "distil.seed: 0 -> 3"),
        (r#"distil.token-budget="8k""#, "distil.token-budget"),
        (r#"sweep.task=["recall", "facts"]"#, "sweep.task"),
        ("pretrain.batch-size=12", "pretrain.batch-size"),
    ] {
        for command in ["report", "status"] {
            let refused = clone.command(command).set(set).exit(2);
            let message = refused.message();
            assert!(message.contains("the manifest differs") && message.contains(difference), "{message}");
        }
    }
    clone.command("report").set("report.title=\"Another title\"").success();
}

/// An experiment whose base, corpus and rows are files beside the manifest.
const FILES: &str = r#"name = "files"
[models.local.source]
path = "base"
[variants.gla]
block = { gla = {} }
[tasks.rooms.source.file]
validation = "rows.jsonl"
test = "rows.jsonl"
splits = "as-published"
prompt = "{{ said }} where is the lamp? in the"
choices = { fixed = ["kitchen", "garden"] }
label = "room"
[corpus.source.files]
paths = ["corpus/*.txt"]
[distil]
token-budget = "1k"
sequence-length = 32
batch-size = 4
[search]
stop = { never = {} }
[sweep]
model = ["local"]
variant = ["gla"]
task = ["rooms"]
"#;

#[test]
fn published_results_need_no_base_and_no_data_file() {
    let folder = TempFolder::new();
    let base = Project::finished(ONE_SEARCH).cell_files("pretrain", "model.safetensors").remove(0);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        folder.write(&format!("base/{file}"), fs::read(base.with_file_name(file)).unwrap());
    }
    folder.write("experiment.toml", FILES);
    let rooms = ["kitchen", "garden"].iter().enumerate();
    let rows =
        rooms.map(|(room, name)| json!({ "said": format!("the lamp is in the {name}."), "room": room }));
    folder.write("rows.jsonl", rows.map(|row| format!("{row}\n")).collect::<String>().repeat(8));
    folder.write("corpus/a.txt", "the lamp is in the kitchen.\n".repeat(200));
    let command = |name: &str, results: &str| {
        let command = DtrCommand::new(name).current_dir(folder.root()).arg("experiment.toml");
        command.args(["--results", results])
    };
    command("sweep", "results").success();
    command("publish", "results").arg("published").success();
    for name in ["base", "corpus", "results"] {
        fs::remove_dir_all(folder.path(name)).unwrap();
    }
    fs::remove_file(folder.path("rows.jsonl")).unwrap();
    command("report", "published").success().stdout_contains("rooms");
    command("verify", "published").arg("--without-artifacts").success().stdout_contains("no differences");
    // Another path may be another file, so a manifest with another path is refused.
    let moved = command("report", "published").set(r#"models.local.source.path="other""#).exit(2);
    assert!(moved.message().contains("models.local.source.path"), "{}", moved.message());
    // A report on results that are not published needs the files.
    command("report", "results").exit(5).stderr_contains("cannot list `corpus`");
}

#[test]
fn publishing_is_deterministic_and_replaces_the_archive() {
    let project = Project::finished(ONE_SEARCH);
    let folder = TempFolder::new();
    let archive = folder.path(&format!("published/{ARCHIVE}"));
    let publish = |project: &Project| project.command("publish").arg(folder.path("published")).json();
    let summary = publish(project);
    let bytes = fs::read(&archive).unwrap();
    assert_eq!(summary["archive-bytes"].as_u64().unwrap(), bytes.len() as u64);
    assert_eq!((&summary["missing"], &summary["dropped"]), (&json!(0), &json!(0)));
    publish(project);
    assert!(fs::read(&archive).unwrap() == bytes);
    // A damaged archive may hold records that no results folder has.
    fs::write(&archive, "damaged").unwrap();
    project.command("publish").arg(folder.path("published")).exit(5).stderr_contains("remove the file");
    assert!(fs::read(&archive).unwrap() == b"damaged");
    let names: Vec<_> = fs::read_dir(archive.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn machines_publish_parts_of_an_experiment_one_after_the_other() {
    const BOTH: &str = r#"sweep.variant=["gla", "gdn"]"#;
    let folder = TempFolder::new();
    let archive = folder.path(&format!("published/{ARCHIVE}"));
    let of_variant = |variant: &str| format!("sweep.variant=[\"{variant}\"]");
    let project = |variants: &str| Project::finished(&[variants, ONE_SEARCH[1]]);
    let publish = |project: &Project| project.command("publish").arg(folder.path("published")).set(BOTH);
    publish(project(&of_variant("gla"))).exit(3).stderr_contains("missing");
    publish(project(&of_variant("gdn"))).success();
    let parts = fs::read(&archive).unwrap();
    // A results folder without records changes nothing.
    publish(&Project::with_settings(ONE_SEARCH)).success();
    assert!(fs::read(&archive).unwrap() == parts);
    let verify = project(BOTH).command_in("verify", &folder.path("published")).arg("--without-artifacts");
    verify.success().stdout_contains("no differences");
    // The same cells computed in one folder have the same results.
    let together = TempFolder::new();
    project(BOTH).command("publish").arg(together.path("published")).success();
    let read = |root: &TempFolder, table: &str| {
        fs::read(root.path(&format!("published/tables/small/{table}.parquet"))).unwrap()
    };
    for table in ["searches", "trajectories", "trials", "items", "distillation"] {
        assert!(read(&folder, table) == read(&together, table), "{table}");
    }
    // A manifest without these cells drops their records, and says so.
    let narrower = project(&of_variant("gla")).command("publish").arg(folder.path("published"));
    narrower.success().stderr_contains("were dropped");
}

#[test]
fn cells_that_are_missing_are_counted_and_an_experiment_without_results_is_refused() {
    let folder = TempFolder::new();
    let project = Project::finished(ONE_SEARCH);
    let publish = |project: &Project| project.command("publish").arg(folder.path("published"));
    publish(&Project::with_settings(ONE_SEARCH)).exit(3).stderr_contains("no cell has a result");
    assert!(!folder.path("published").exists());
    publish(project).set(r#"sweep.variant=["gla", "gdn"]"#).exit(3).stderr_contains("cells are missing");
}

#[test]
fn a_folder_of_published_results_is_read_only() {
    let clone = clone();
    let published = clone.published();
    clone.command("sweep").exit(2).stderr_contains("read-only");
    let project = Project::finished(ONE_SEARCH);
    project.command("publish").arg(project.results()).exit(2).stderr_contains("in which they were computed");
    assert!(clone.published() == published);
}

#[test]
fn the_status_and_the_cells_of_published_results_are_shown() {
    let clone = clone();
    let rows = clone.command("status").json()["stages"].take();
    let done: Vec<u64> = rows.as_array().unwrap().iter().map(|row| row["done"].as_u64().unwrap()).collect();
    assert_eq!(done, [1, 1, 1], "{rows}");
    let project = Project::finished(ONE_SEARCH);
    let record = project.records("search").remove(0);
    let key = key_of(&record);
    let show = DtrCommand::new("show").arg(&key[..12]).arg("--results").arg(clone.path("published"));
    let shown = show.success().json();
    assert_eq!((&shown["key"], &shown["stage"]), (&json!(key), &json!("search")));
}

fn key_of(record: &Path) -> String {
    record.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_damaged_archive_is_refused_by_name() {
    let clone = clone();
    let path = clone.path("published").join(ARCHIVE);
    let bytes = fs::read(&path).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], b"text", b""] {
        fs::write(&path, damaged).unwrap();
        for command in [clone.command("report"), clone.verify()] {
            let message = command.exit(5).message();
            assert!(message.contains("small.jsonl.xz"), "{message}");
        }
    }
}
