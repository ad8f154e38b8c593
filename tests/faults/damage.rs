//! Every kind of file that results are made of, damaged in every way: done again or refused by name, never served.

use std::fs;
use std::path::{Path, PathBuf};

use super::bench::{Bench, LONG, ONE, calm_long, text, wait_until};

/// Ways of damage. The last is for a file that cannot be read, also where permissions stop nobody.
const DAMAGES: [(&str, fn(&Path, &Path)); 5] = [
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

/// The kinds of files by stage; beside each one of the same kind of another cell.
const KINDS: [(&str, &str); 9] = [
    ("pretrain", "record.json"),
    ("pretrain", "model.safetensors"),
    ("pretrain", "tokenizer.json"),
    ("distil", "record.json"),
    ("distil", "twins.safetensors"),
    ("distil", "spec.json"),
    ("distil", "events.jsonl"),
    ("score", "record.json"),
    ("search", "record.json"),
];

#[test]
fn what_is_damaged_is_done_again_or_refused_by_name() {
    let [whole, calm, other] = [(); 3].map(|()| Bench::new());
    whole.sweep(&ONE);
    calm.sweep(&[&ONE[..], &STRICTER].concat());
    other.sweep(&[&ONE[..], &["--set", "distil.seed=1", "--set", "pretrain.seed=1"]].concat());
    for (stage, name) in KINDS {
        for (how, damage) in DAMAGES {
            let bench = whole.copy();
            // The base's score stands first or not; any will do, and a search takes all that it can.
            let path = bench.named(stage, name).remove(0);
            let before = fs::read(&path).unwrap();
            damage(&path, &other.named(stage, name)[0]);
            if fs::read(&path).is_ok_and(|after| after == before) {
                continue;
            }
            // The log of another cell is whole, and nothing is made of it.
            let is_noticed =
                (name, how) != ("events.jsonl", "another's") && (name, how) != ("events.jsonl", "emptied");
            check_verify(&bench, &path, is_noticed, how);
            // The same search notices what its tables take, another one what it takes.
            for (more, calm) in [(&[][..], &whole), (&STRICTER[..], &calm)] {
                let ended = bench.dtr("sweep", &[&ONE, more].concat());
                let said = text(&ended.stderr);
                if ended.status.success() {
                    assert!(bench.outcome("small") == calm.outcome("small"), "{how} {stage} {name}: {said}");
                } else {
                    assert!(
                        how == "unreadable" && said.contains(&*path.to_string_lossy()),
                        "{how} {path:?}: {said}"
                    );
                }
            }
        }
    }
}

fn check_verify(bench: &Bench, path: &PathBuf, is_noticed: bool, how: &str) {
    let verified = bench.dtr("verify", &[&["--json", "--sample", "0"][..], &ONE].concat());
    let found = text(&verified.stdout);
    assert_eq!(found.contains(&*path.to_string_lossy()), is_noticed, "{how} {path:?}: {found}");
}

#[test]
fn a_damaged_table_is_found_and_made_again() {
    let bench = Bench::new();
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
        let bench = Bench::new();
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
    let bench = Bench::new();
    bench.sweep(&ONE);
    for stage in ["pretrain", "distil", "search"] {
        let path = bench.named(stage, "record.json").remove(0);
        let whole = fs::read_to_string(&path).unwrap();
        let (_, body) = whole.split_once("\n\"body\":").unwrap();
        let body = body.strip_suffix("}\n").unwrap().replacen("\"format\":1", "\"format\":2", 1);
        let digest = dtr::files::Digest::of(body.as_bytes());
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
