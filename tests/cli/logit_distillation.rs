//! Logit distillation trains a hybrid after its search to reproduce the logits of the base. The report
//! compares the trained hybrid with the untrained hybrid and with the base.

use std::fs;
use std::path::Path;

use dtr_model::SafetensorsReader;
use polars::prelude::DataFrame;
use serde_json::json;

use crate::dtr_command::DtrCommand;
use crate::project::{Project, wait_until};
use crate::table_columns::{counts, numbers, texts};

/// Settings for sweeps with one search. The sweeps train the search's hybrids with two and with four replaced
/// layers.
const TWO_HYBRIDS: &[&str] = &[
    r#"sweep.variant=["gla"]"#,
    r#"sweep.task=["recall"]"#,
    "search.strategy={ uniform = {} }",
    "search.stop={ never = {} }",
    "logit-distil.hybrids=[{ replaced = 2 }, { replaced = 4 }]",
    "logit-distil.sequence-length=32",
    "logit-distil.batch-size=8",
    "logit-distil.micro-batch-size=2",
    "logit-distil.optimizer.learning-rate=2e-3",
    r#"logit-distil.token-budget="4k""#,
];

const ARTIFACT: &str = "tuned.safetensors";

fn names_of(file: &Path) -> Vec<String> {
    let device = burn::tensor::Device::flex();
    SafetensorsReader::open(&[file.to_owned()], &device).unwrap().names().into_iter().collect()
}

fn row_of(table: &DataFrame, num_replaced: u64) -> usize {
    counts(table, "num_replaced").iter().position(|count| *count == num_replaced).unwrap()
}

#[test]
fn trained_hybrids_are_scored_beside_the_hybrid_before_and_the_base() {
    let project = Project::finished(TWO_HYBRIDS);
    let table = project.table("tuned_hybrids");
    assert_eq!(texts(&table, "hybrid"), ["replaced=2", "replaced=4"]);
    assert_eq!(texts(&table, "layers"), ["1,3", "0,1,2,3"]);
    let (before, after) = (numbers(&table, "divergence_before"), numbers(&table, "divergence_after"));
    assert!(before.iter().zip(&after).all(|(before, after)| after < before), "{before:?} {after:?}");
    let searches = project.table("searches");
    let p_base = numbers(&searches, "p_base")[0];
    assert!(numbers(&table, "p_base").iter().all(|score| *score == p_base));
    // The hybrid `M_opt` of the search replaces all four layers. It is therefore also the untrained hybrid
    // with four replaced layers.
    assert_eq!(numbers(&table, "p_hybrid")[row_of(&table, 4)], numbers(&searches, "p_opt")[0]);
    for (stage, records) in [("search", 1), ("logit-distil", 2), ("tuned-score", 2)] {
        assert_eq!(project.num_records(stage), records, "{stage}");
    }
    for file in project.cell_files("logit-distil", ARTIFACT) {
        let names = names_of(&file);
        assert!(names.iter().all(|name| name.contains(".linear_attn.")), "{names:?}");
    }
}

#[test]
fn a_finished_training_is_not_repeated() {
    let project = Project::finished(TWO_HYBRIDS).copy();
    let again = project.sweep().json();
    assert_eq!(again["done"], 0);
    // Another seed of logit distillation repeats both trainings, but neither the distillation nor the search.
    let other = project.sweep().set("logit-distil.seed=1").json();
    assert_eq!(other["done"], 4, "two trainings and their scores");
}

#[test]
fn the_kept_attention_is_frozen_unless_it_has_a_learning_rate() {
    let all = |rates: &str| {
        let train = format!("logit-distil.train={{ all = {{ {rates} }} }}");
        let hybrids = "logit-distil.hybrids=[{ replaced = 2 }]";
        let budget = r#"logit-distil.token-budget="256""#;
        let project = Project::finished(TWO_HYBRIDS).copy();
        project.sweep().set(hybrids).set(budget).set(&train).success();
        let files = project.cell_files("logit-distil", ARTIFACT);
        files.iter().map(|file| names_of(file)).max_by_key(Vec::len).unwrap()
    };
    let has = |names: &[String], part: &str| names.iter().any(|name| name.contains(part));
    let frozen = all("");
    assert!(has(&frozen, ".mlp.") && has(&frozen, "embed_tokens") && has(&frozen, ".linear_attn."));
    assert!(!has(&frozen, ".self_attn."), "{frozen:?}");
    let thawed = all("attention-learning-rate = 1e-5");
    assert!(has(&thawed, "layers.0.self_attn.q_proj") && !has(&thawed, "layers.1.self_attn"), "{thawed:?}");
}

#[test]
fn trainings_along_an_axis_share_one_search() {
    let project = Project::with_settings(TWO_HYBRIDS);
    let axes = r#"sweep.axes={ "logit-distil.seed" = [0, 1, 2] }"#;
    let plan = project.plan().set(axes).json();
    let stages: Vec<&str> = plan["cells"].as_array().unwrap().iter().map(stage_of).collect();
    let count = |stage: &str| stages.iter().filter(|found| **found == stage).count();
    assert_eq!(["search", "logit-distil", "tuned-score"].map(count), [1, 6, 6], "{stages:?}");
}

fn stage_of(cell: &serde_json::Value) -> &str {
    cell["stage"].as_str().unwrap()
}

#[test]
fn a_killed_training_resumes_and_gives_the_same_hybrid() {
    let budget = r#"logit-distil.token-budget="48k""#;
    let settings = [TWO_HYBRIDS, &["logit-distil.hybrids=[{ replaced = 4 }]", budget]].concat();
    let project = Project::finished(TWO_HYBRIDS).copy();
    let sweep = || settings.iter().fold(project.sweep(), |sweep, setting| sweep.set(setting));
    let started = sweep().start();
    let is_checkpoint = |path: &Path| path.parent().unwrap().ends_with("checkpoint");
    let has_checkpoint =
        || project.cell_files("logit-distil", ARTIFACT).iter().any(|file| is_checkpoint(file));
    wait_until("a checkpoint", has_checkpoint);
    started.kill();
    sweep().success();
    let messages = project.messages("logit-distil");
    assert!(messages.iter().any(|line| line.contains("resumes after step")), "{messages:?}");
    let bytes = |project: &Project| -> Vec<Vec<u8>> {
        let files = project.cell_files("logit-distil", ARTIFACT);
        let mut bytes: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        bytes.sort();
        bytes
    };
    let uninterrupted = Project::finished(TWO_HYBRIDS).copy();
    settings.iter().fold(uninterrupted.sweep(), |sweep, setting| sweep.set(setting)).success();
    assert!(bytes(&project) == bytes(&uninterrupted), "the resumed training gave another hybrid");
}

#[test]
fn a_trained_hybrid_is_exported_and_runs() {
    let project = Project::finished(TWO_HYBRIDS);
    let folder = project.copy();
    let directory = folder.path("trained");
    let export = |hybrid: &str| project.command("export").arg(&directory).args(["--tuned", hybrid]);
    export("replaced=3").exit(2).stderr_contains("replaced=4");
    assert_eq!(export("replaced=2").json()["layers"], json!([1, 3]));
    let card = fs::read_to_string(directory.join("README.md")).unwrap();
    assert!(card.contains("# tiny gla recall replaced=2"), "{card}");
    let generate = |directory: &Path| {
        DtrCommand::new("generate")
            .arg(directory)
            .arg("the lamp is in the")
            .args(["--max-tokens", "9"])
            .json()
    };
    assert_eq!(generate(&directory)["tokens"], 9);
    // The exported weights are the trained weights.
    let untrained = folder.path("untrained");
    project.command("export").arg(&untrained).success();
    let read = |directory: &Path| fs::read(directory.join("model.safetensors")).unwrap();
    assert!(read(&directory) != read(&untrained));
}

#[test]
fn a_search_that_stops_before_the_number_of_layers_fails_the_training_only() {
    let project = Project::with_settings(TWO_HYBRIDS);
    let stop = "search.stop={ min-score = 1.0 }";
    let hybrids = "logit-distil.hybrids=[{ replaced = 4 }]";
    let sweep = project.sweep().set(stop).set(hybrids).exit(1);
    sweep.stderr_contains("has no hybrid with 4 layers replaced");
    assert_eq!(project.table("searches").height(), 1);
}

/// The experiment distils twins on fewer tokens than the quick start. A hybrid with most layers replaced is
/// therefore worse than the base.
#[test]
fn training_closes_at_least_half_of_the_gap_between_a_hybrid_and_the_bundled_base() {
    let settings = ["logit-distil.hybrids=[{ replaced = 6 }]"];
    let project = Project::from_manifest("experiments/logit-distil-mini.toml", &settings);
    project.sweep().success();
    let table = project.table_of("logit-distil-mini", "tuned_hybrids");
    let value = |column: &str| numbers(&table, column)[0];
    assert!(value("p_base") - value("p_hybrid") > 0.02, "{table}");
    assert!(value("p_tuned") - value("p_hybrid") >= 0.5 * (value("p_base") - value("p_hybrid")), "{table}");
    assert!(value("p_value_gain") < 0.05, "{table}");
    assert!(value("divergence_after") < value("divergence_before"), "{table}");
}
