//! One seed, the same bytes: whatever the number of threads, the order of cells, or who learns beside whom.

use std::collections::BTreeMap;
use std::fs;

use crate::project::{Project, text};

/// The twins by cell.
fn twins(bench: &Project) -> BTreeMap<String, Vec<u8>> {
    let cell =
        |path: &std::path::Path| path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let files = bench.named("distil", "twins.safetensors").into_iter();
    files.map(|path| (cell(&path), fs::read(&path).unwrap())).collect()
}

fn set(value: &str) -> [&str; 2] {
    ["--set", value]
}

#[test]
fn threads_change_no_byte() {
    let benches = ["1", "2", "4"].map(|threads| {
        let bench = Project::new();
        let ended = bench.command("sweep", &[]).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        let record = fs::read_to_string(&bench.named("distil", "record.json")[0]).unwrap();
        assert!(record.contains(&format!("\"threads\":{threads},")), "the threads were those asked for");
        bench
    });
    let [one, more @ ..] = &benches;
    for other in more {
        assert!(other.outcome("small") == one.outcome("small"), "tables and figures");
        assert!(twins(other) == twins(one), "twins");
    }
}

#[test]
fn order_and_company_change_no_byte() {
    let (together, reversed, apart) = (Project::new(), Project::new(), Project::new());
    together.sweep(&[]);
    reversed
        .sweep(&[set(r#"sweep.variant=["gdn", "gla"]"#), set(r#"sweep.task=["facts", "recall"]"#)].concat());
    assert!(reversed.outcome("small") == together.outcome("small"), "tables and figures");
    for variant in [r#"sweep.variant=["gdn"]"#, r#"sweep.variant=["gla"]"#] {
        assert_eq!(apart.sweep(&set(variant))["failed"], serde_json::json!([]));
    }
    assert_eq!(apart.sweep(&[])["done"], 0, "the cells are the same");
    assert!(apart.outcome("small") == together.outcome("small"), "tables and figures");
    for other in [&reversed, &apart] {
        assert_eq!(twins(other).len(), 2);
        assert!(twins(other) == twins(&together), "twins");
    }
}

#[test]
fn a_record_says_where_it_comes_from() {
    let bench = Project::new();
    bench.sweep(&crate::project::ONE);
    let record = bench.named("search", "record.json").remove(0);
    let key = record.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let explained = std::process::Command::new(env!("CARGO_BIN_EXE_dtr"))
        .args(["explain", &key[..12], "--results"])
        .arg(bench.results())
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    let provenance = &told["provenance"];
    assert_eq!(provenance["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(provenance["repeatable"], true);
    assert_eq!(provenance["overrides"], serde_json::json!([crate::project::ONE[1], crate::project::ONE[3]]));
    assert!(provenance["device"].as_str().unwrap().starts_with("cpu ("));
    let command = provenance["command"].as_array().unwrap();
    assert!(command.iter().any(|word| word == "sweep"), "{command:?}");
    let files = provenance["input_files"].as_object().unwrap();
    for (file, stage) in [("base/model.safetensors", "pretrain"), ("twins/twins.safetensors", "distil")] {
        let name = file.split_once('/').unwrap().1;
        let digest = blake3_of(&fs::read(&bench.named(stage, name)[0]).unwrap());
        assert_eq!(files[file], digest, "{file}");
    }
    let log = told["log"].as_array().unwrap();
    assert_eq!((&log[0]["what"], &log[log.len() - 1]["what"]), (&"begun".into(), &"done".into()));
}

fn blake3_of(bytes: &[u8]) -> String {
    dtr_core::files::Digest::of(bytes).to_string()
}
