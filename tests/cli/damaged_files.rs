//! If a file in the results folder is damaged, its cell is computed again, or an error names the file.

use std::fs;
use std::path::{Path, PathBuf};

use dtr::store::Store;

use crate::dtr_command::DtrCommand;
use crate::project::{ONE_SEARCH, Project, WITH_CHECKPOINTS, wait_until};
use crate::rewrite_record::rewrite_record;

/// A function that damages the file at the first path. The second path is the same file of another
/// experiment.
type Damage = fn(&Path, &Path);

const DAMAGES: [(&str, Damage); 5] = [
    ("truncated", |path, _| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("a bit flipped", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("emptied", |path, _| fs::write(path, b"").unwrap()),
    ("of another experiment", |path, other| assert!(fs::copy(other, path).unwrap() > 0)),
    // A folder replaces the file, because no user can read a folder as a file. Permissions would not make the
    // file unreadable to a superuser.
    ("unreadable", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

/// With this setting, new searches reuse the base, the twins and the scores of the finished sweep.
const STRICTER_STOP: &str = "search.stop={ max-relative-drop = 0.001 }";

/// The stages and names of the files that the test damages.
const CELL_FILES: [(&str, &str); 8] = [
    ("pretrain", "record"),
    ("pretrain", "model.safetensors"),
    ("distil", "record"),
    ("distil", "twins.safetensors"),
    ("distil", "spec.json"),
    ("distil", "events.jsonl"),
    ("score", "record"),
    ("search", "record"),
];

/// Returns the first file of this stage and name. For the stage `score`, returns a file of the test split,
/// because tables show only scores of this split.
fn cell_file(project: &Project, (stage, name): (&str, &str)) -> PathBuf {
    let is_test = |path: &PathBuf| fs::read_to_string(path).unwrap().contains(r#""split":"test""#);
    let mut files = if name == "record" { project.records(stage) } else { project.cell_files(stage, name) };
    files.retain(|path| stage != "score" || is_test(path));
    files.remove(0)
}

#[test]
fn a_damaged_cell_is_computed_again_or_refused_by_name() {
    let finished = Project::finished(ONE_SEARCH);
    let [stricter, other] = [(); 2].map(|()| Project::with_settings(ONE_SEARCH));
    stricter.sweep().set(STRICTER_STOP).success();
    other.sweep().set("distil.seed=1").set("pretrain.seed=1").success();
    for file in CELL_FILES {
        for (damage, apply) in DAMAGES {
            let project = finished.copy();
            let path = cell_file(&project, file);
            apply(&path, &cell_file(&other, file));
            // A truncated log is not a fault, because a crash can truncate a log.
            let is_noticed = file.1 != "events.jsonl" || !["truncated", "emptied"].contains(&damage);
            let faults = Store::open(&project.results()).unwrap().audit().unwrap().faults;
            let expected = if is_noticed { vec![&path] } else { Vec::new() };
            assert_eq!(faults.iter().map(|fault| &fault.path).collect::<Vec<_>>(), expected, "{damage}");
            match file {
                // No sweep reads these files.
                (_, "spec.json" | "events.jsonl") => {}
                // A repeated sweep reads only the records of scores and searches, for its tables. A sweep
                // with a stricter threshold searches again, so it also reads the base and the twins.
                ("score" | "search", _) => check_sweep(project.sweep(), &project, finished, &path, damage),
                _ => check_sweep(project.sweep().set(STRICTER_STOP), &project, &stricter, &path, damage),
            }
        }
    }
}

/// Checks that a sweep over a damaged file writes the expected outputs. If the file is unreadable, the sweep
/// may fail instead, with a message that names the file.
fn check_sweep(sweep: DtrCommand, project: &Project, expected: &Project, path: &Path, damage: &str) {
    let output = sweep.finish();
    let stderr = output.stderr();
    if output.status().success() {
        assert!(project.comparable_outputs() == expected.comparable_outputs(), "{damage} {path:?}: {stderr}");
    } else {
        assert_eq!(damage, "unreadable", "{path:?}: {stderr}");
        assert!(stderr.contains(&*path.to_string_lossy()), "{damage} {path:?}: {stderr}");
    }
}

/// Returns whether `dtr verify` names the file at `path`.
fn is_reported(project: &Project, path: &Path) -> bool {
    let output = project.command("verify").args(["--json", "--sample", "0"]).finish();
    output.stdout().contains(&*path.to_string_lossy())
}

#[test]
fn a_damaged_table_is_reported_and_written_again() {
    let project = Project::finished(ONE_SEARCH).copy();
    let outputs = project.comparable_outputs();
    for name in ["tables/small/items.parquet", "tables/small/index.html", "figures/small"] {
        let path = project.files(name).first().cloned().unwrap_or(project.results().join(name));
        for (damage, apply) in &DAMAGES[..3] {
            apply(&path, &path);
            assert!(is_reported(&project, &path), "{damage} {path:?}");
            project.sweep().success();
            assert!(!is_reported(&project, &path), "{damage} {path:?}");
            assert!(project.comparable_outputs() == outputs, "{damage} {path:?}");
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_logged_and_its_cell_computed_from_the_beginning() {
    for (damage, apply) in &DAMAGES[..2] {
        let project = Project::with_settings(WITH_CHECKPOINTS);
        let checkpoints = || project.cell_files("pretrain", "checkpoint/base.safetensors");
        let sweep = project.sweep().start();
        wait_until("a checkpoint", || !checkpoints().is_empty());
        sweep.kill();
        let path = checkpoints().remove(0);
        apply(&path, &path);
        project.sweep().success();
        let messages = project.messages("pretrain");
        let damaged = format!("removed `{}`, which is damaged", path.display());
        assert!(messages.iter().any(|line| line.contains(&damaged)), "{damage}: {messages:?}");
        assert!(!messages.iter().any(|line| line.contains("resumes after")), "{damage}: {messages:?}");
        assert!(
            project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs(),
            "{damage}"
        );
    }
}

#[test]
fn a_record_of_a_newer_format_is_refused_and_not_changed() {
    let project = Project::finished(ONE_SEARCH).copy();
    for stage in ["pretrain", "distil", "search"] {
        let path = project.records(stage).remove(0);
        let original = fs::read_to_string(&path).unwrap();
        let newer = rewrite_record(&path, "\"format\":2", "\"format\":3");
        for command in ["sweep", "plan", "status"] {
            let refused = project.command(command).exit(5);
            refused
                .stderr_contains("record format 3")
                .stderr_contains("use the newer dtr")
                .stderr_contains(&path.to_string_lossy());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
        fs::write(&path, original).unwrap();
    }
    assert_eq!(project.sweep().json()["done"], 0);
}
