//! Every kind of file that results are made of, damaged in every way: done again or refused by name, never served.

use std::fs;
use std::path::{Path, PathBuf};

use dtr::store::Store;

use crate::project::{LONG, ONE, Project, calm_long, text, wait_until};

/// Damages the file at the first path, perhaps by the one at the second.
type Damage = fn(&Path, &Path);

/// Ways of damage. The last is for a file that cannot be read, also where permissions stop nobody.
const DAMAGES: [(&str, Damage); 5] = [
    ("truncated", |path, _| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("flipped", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("emptied", |path, _| fs::write(path, b"").unwrap()),
    ("another's", |path, other| assert!(fs::copy(other, path).unwrap() > 0)),
    ("unreadable", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

/// A search that takes all that was kept.
const STRICTER: [&str; 2] = ["--set", "search.stop={ max-relative-drop = 0.001 }"];

/// The kinds of files by stage.
const KINDS: [(&str, &str); 8] = [
    ("pretrain", "record.json"),
    ("pretrain", "model.safetensors"),
    ("distil", "record.json"),
    ("distil", "twins.safetensors"),
    ("distil", "spec.json"),
    ("distil", "events.jsonl"),
    ("score", "record.json"),
    ("search", "record.json"),
];

/// A file of a kind; of scores one that the tables show.
fn file(bench: &Project, (stage, name): (&str, &str)) -> PathBuf {
    let mut files = bench.named(stage, name);
    files.retain(|path| stage != "score" || fs::read_to_string(path).unwrap().contains(r#""split":"test""#));
    files.remove(0)
}

#[test]
fn what_is_damaged_is_done_again_or_refused_by_name() {
    let [whole, calm, other] = [(); 3].map(|()| Project::new());
    whole.sweep(&ONE);
    calm.sweep(&[&ONE[..], &STRICTER].concat());
    other.sweep(&[&ONE[..], &["--set", "distil.seed=1", "--set", "pretrain.seed=1"]].concat());
    for kind in KINDS {
        for (how, damage) in DAMAGES {
            let bench = whole.copy();
            let path = file(&bench, kind);
            damage(&path, &file(&other, kind));
            // A log that a crash cut short is one.
            let is_noticed = kind.1 != "events.jsonl" || !["truncated", "emptied"].contains(&how);
            let faults = Store::open(&bench.results()).unwrap().audit().unwrap().faults;
            let expected = if is_noticed { vec![&path] } else { Vec::new() };
            assert_eq!(faults.iter().map(|fault| &fault.path).collect::<Vec<_>>(), expected, "{how}");
            if ["spec.json", "events.jsonl"].contains(&kind.1) {
                // For people only.
                continue;
            }
            // The same search takes its scores for the tables, and another one takes base and twins.
            match kind.0 {
                "score" | "search" => check_sweep(&bench, &[], &whole, &path, how),
                _ => check_sweep(&bench, &STRICTER, &calm, &path, how),
            }
        }
    }
}

fn check_sweep(bench: &Project, more: &[&str], calm: &Project, path: &Path, how: &str) {
    let ended = bench.dtr("sweep", &[&ONE, more].concat());
    let said = text(&ended.stderr);
    if ended.status.success() {
        assert!(bench.outcome("small") == calm.outcome("small"), "{how} {path:?}: {said}");
    } else {
        assert!(how == "unreadable" && said.contains(&*path.to_string_lossy()), "{how} {path:?}: {said}");
    }
}

fn check_verify(bench: &Project, path: &Path, is_noticed: bool, how: &str) {
    let verified = bench.dtr("verify", &[&["--json", "--sample", "0"][..], &ONE].concat());
    let found = text(&verified.stdout);
    assert_eq!(found.contains(&*path.to_string_lossy()), is_noticed, "{how} {path:?}: {found}");
}

#[test]
fn a_damaged_table_is_found_and_made_again() {
    let bench = Project::new();
    bench.sweep(&ONE);
    let outcome = bench.outcome("small");
    for name in ["tables/small/items.parquet", "tables/small/index.html", "figures/small"] {
        let path = bench.files(name).first().cloned().unwrap_or(bench.results().join(name));
        for (how, damage) in &DAMAGES[..3] {
            damage(&path, &path);
            check_verify(&bench, &path, true, how);
            bench.sweep(&ONE);
            check_verify(&bench, &path, false, how);
            assert!(bench.outcome("small") == outcome);
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_told_and_costs_only_its_work() {
    for (how, damage) in &DAMAGES[..2] {
        let bench = Project::new();
        let checkpoints = || bench.named("pretrain", "checkpoint/base.safetensors");
        let mut sweep = bench.start(&LONG);
        wait_until("a checkpoint", || !checkpoints().is_empty());
        sweep.kill().unwrap();
        sweep.wait().unwrap();
        let path = checkpoints().remove(0);
        damage(&path, &path);
        bench.sweep(&LONG);
        let said = bench.said("pretrain");
        assert!(
            said.iter().any(|line| line.contains(&format!("`{}` was damaged", path.display()))),
            "{how}: {said:?}"
        );
        assert!(!said.iter().any(|line| line.contains("goes on after")), "{how}: {said:?}");
        assert!(bench.outcome("small") == *calm_long(), "{how}");
    }
}

#[test]
fn a_newer_record_is_refused_and_left_as_it_is() {
    let bench = Project::new();
    bench.sweep(&ONE);
    for stage in ["pretrain", "distil", "search"] {
        let path = bench.named(stage, "record.json").remove(0);
        let whole = fs::read_to_string(&path).unwrap();
        let (_, body) = whole.split_once("\n\"body\":").unwrap();
        let body = body.strip_suffix("}\n").unwrap().replacen("\"format\":1", "\"format\":2", 1);
        let digest = dtr_core::files::Digest::of(body.as_bytes());
        let newer = format!("{{\"digest\":\"{digest}\",\n\"body\":{body}}}\n");
        fs::write(&path, &newer).unwrap();
        for command in ["sweep", "plan", "status"] {
            let refused = bench.dtr(command, &ONE);
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(5), "{command}: {said}");
            assert!(said.contains("record format 2") && said.contains("use the newer dtr"), "{said}");
            assert!(said.contains(&*path.to_string_lossy()), "{said}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(bench.sweep(&ONE)["done"], 0);
}
