//! Compares the prompts of generative tasks in dtr and in lm-evaluation-harness. A model answers an item of a
//! generative task by generating text.
//!
//! `DTR_PUBLIC` names the folder with the files of GSM8K. The fixture holds SHA-256 digests of the prompts
//! that the harness builds from the same files.

use std::path::Path;
use std::process::Command;

use crate::skipped::report_skipped;
use crate::support::public_folder;
use dtr::data::{GenerativeItem, Split, load_generative_items};
use dtr::manifest::load_manifest;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Loads the items of a task of `experiments/published-generative.toml` from the files in the folder `data`.
fn items(name: &str, data: &Path, splits: &str, split: Split) -> Vec<GenerativeItem> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/published-generative.toml");
    let set = |key: &str, value: &str| format!("tasks.{name}.source.generative.{key}={value:?}");
    let path = |file: &str| data.join(file).display().to_string();
    let all_items = format!("tasks.{name}.source.generative.validation-items=1319");
    let sets = [
        set("test", &path("test.jsonl")),
        set("shots.from", &path("train.jsonl")),
        set("splits", splits),
        all_items,
    ];
    let loaded = load_manifest(&manifest, &sets).unwrap();
    load_generative_items(loaded.manifest.tasks[name].generative().unwrap(), split).unwrap()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares the digests of all prompts with the digests that the fixture holds for `count` shots.
fn check_prompts(name: &str, count: u64) {
    let Some(data) = public_folder("data/gsm8k") else { return };
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/dtr-text/tests/fixtures/gsm8k.json");
    let goldens: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(goldens).unwrap()).unwrap();
    let golden = goldens.iter().find(|golden| golden["count"] == count).unwrap();
    let items = items(name, &data, "as-published", Split::Test);
    let digests: Vec<String> = items.iter().map(|item| sha256(&item.prompt)).collect();
    assert_eq!(digests.len(), 1319);
    assert_eq!(digests[0], golden["first_digest"]);
    assert_eq!(sha256(&digests.join("\n")), golden["all_digests"]);
}

#[test]
fn all_gsm8k_prompts_with_four_shots_equal_those_of_the_harness() {
    check_prompts("gsm8k", 4);
}

#[test]
fn all_gsm8k_prompts_with_five_shots_equal_those_of_the_harness() {
    check_prompts("gsm8k-lm-eval", 5);
}

#[test]
fn the_examples_of_a_row_do_not_depend_on_which_rows_are_scored() {
    let Some(data) = public_folder("data/gsm8k") else { return };
    let all = items("gsm8k", &data, "as-published", Split::Test);
    let halves = [Split::Validation, Split::Test].map(|split| items("gsm8k", &data, "held-out", split));
    assert_eq!(halves.iter().map(Vec::len).sum::<usize>(), all.len());
    for item in halves.iter().flatten() {
        let row: usize = item.id.rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!(item.prompt, all[row].prompt, "{}", item.id);
    }
}

#[test]
fn mbpp_plus_is_read_with_its_special_numbers() {
    let Some(data) = public_folder("data/mbpp") else { return };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/published-generative.toml");
    for name in ["mbpp-plus", "evalplus-mbpp"] {
        let key = format!("tasks.{name}.source.generative");
        let file = data.join("MbppPlus.jsonl.gz").display().to_string();
        let sets = [
            format!("{key}.test={file:?}"),
            format!("{key}.code.evalplus.tasks={file:?}"),
            format!("{key}.splits=\"as-published\""),
        ];
        let loaded = load_manifest(&manifest, &sets).unwrap();
        let task = loaded.manifest.tasks[name].generative().unwrap();
        assert_eq!(load_generative_items(task, Split::Test).unwrap().len(), 378);
    }
}

#[test]
fn trec_is_read_from_its_original_lines_with_the_class_names_of_longbench() {
    let Some(data) = public_folder("data/trec") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(data.join("qc.zip")).arg(folder.path());
    if !unzip.status().is_ok_and(|status| status.success()) {
        return report_skipped("there is no Python that unpacks `qc.zip`");
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/published-generative.toml");
    let key = "tasks.trec-original.source.generative";
    let path = |name: &str| folder.path().join("qc").join(name).display().to_string();
    let load = |test: &str| {
        let sets = [
            format!("{key}.test={:?}", path(test)),
            format!("{key}.shots.from={:?}", path("train.txt")),
            format!("{key}.splits=\"as-published\""),
        ];
        let loaded = load_manifest(&manifest, &sets).unwrap();
        let task = loaded.manifest.tasks["trec-original"].generative().unwrap();
        load_generative_items(task, Split::Test).unwrap()
    };
    let (test, train) = (load("test.txt"), load("train.txt"));
    assert_eq!((test.len(), train.len()), (500, 5452));
    let first = &test[0];
    let introduction =
        "Please determine the type of the question below. Here are some examples of questions.\n\nQuestion: ";
    assert!(first.prompt.starts_with(introduction), "{}", first.prompt);
    assert!(first.prompt.ends_with("\nQuestion: How far is it from Denver to Aspen ?\nType:"));
    assert_eq!(first.prompt.matches("\nType: ").count(), 100);
    assert_eq!(first.references, ["Distance, linear measure"]);
    assert_eq!(first.classes.len(), 50);
    // Every name of a class occurs in the training questions.
    let mut names: Vec<&String> = train.iter().flat_map(|item| &item.references).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 50);
    assert!(names.iter().all(|name| first.classes.contains(name)), "{names:?}");
    let not_ascii = &train[65].prompt;
    assert!(
        not_ascii
            .ends_with("Which city has the oldest relationship as a sister city with Los Angeles ?\nType:")
    );
}
