//! Fine-tuning trains hybrids and their bases on the train splits of tasks. The report compares all of them.

use std::fs;
use std::path::Path;

use dtr_model::SafetensorsReader;
use polars::prelude::DataFrame;
use serde_json::json;

use crate::dtr_command::DtrCommand;
use crate::project::{Project, wait_until};
use crate::table_columns::{numbers, optional_numbers, optional_texts, texts};
use crate::temp_folder::TempFolder;

/// Settings for sweeps with one search. The sweeps fine-tune the hybrid with two replaced layers.
pub const ONE_HYBRID: &[&str] = &[
    r#"sweep.variant=["gla"]"#,
    r#"sweep.task=["recall"]"#,
    "tasks.recall.source.synthetic.train-items=80",
    "search.strategy={ uniform = {} }",
    "search.stop={ never = {} }",
    "finetune.hybrids=[{ replaced = 2 }]",
    "finetune.epochs=2",
    "finetune.batch-size=16",
    "finetune.micro-batch-size=4",
    "finetune.train={ full = { mixer-learning-rate = 2e-3, rest-learning-rate = 1e-3 } }",
];

const ARTIFACT: &str = "tuned.safetensors";

/// The states of the models that every fine-tuned hybrid is compared with, and its own.
const STATES: [&str; 4] = ["base", "base-finetuned", "hybrid", "hybrid-finetuned"];

fn names_of(file: &Path) -> Vec<String> {
    let device = burn::tensor::Device::flex();
    SafetensorsReader::open(&[file.to_owned()], &device).unwrap().names().into_iter().collect()
}

/// Returns the names of the parameters of the fine-tuned hybrid. The file of the fine-tuned base has no linear
/// blocks, unless adapters leave out everything else.
fn hybrid_names(project: &Project) -> Vec<String> {
    let files = project.cell_files("finetune", ARTIFACT);
    let names = files.iter().map(|file| names_of(file));
    names.into_iter().find(|names| names.iter().any(|name| name.contains(".linear_attn."))).unwrap()
}

fn table(project: &Project) -> DataFrame {
    project.table("finetuned_hybrids")
}

#[test]
fn a_fine_tuned_hybrid_is_scored_beside_its_base_that_was_fine_tuned_alike() {
    let project = Project::finished(ONE_HYBRID);
    let table = table(project);
    assert_eq!(texts(&table, "state"), STATES);
    for (stage, records) in [("finetune", 2), ("finetune-score", 1)] {
        assert_eq!(project.num_records(stage), records, "{stage}");
    }
    let (before, after) = (optional_numbers(&table, "loss_before"), optional_numbers(&table, "loss_after"));
    for (state, is_trained) in STATES.iter().zip([false, true, false, true]) {
        let row = STATES.iter().position(|other| other == state).unwrap();
        assert_eq!(before[row].is_some(), is_trained, "{state}");
        assert!(before[row].zip(after[row]).is_none_or(|(before, after)| after < before), "{state}: {table}");
    }
    let controls = optional_texts(&table, "control");
    assert_eq!(controls[2].as_deref(), Some("base"));
    assert_eq!(controls[3].as_deref(), Some("base-finetuned"));
    let searches = project.table("searches");
    assert_eq!(numbers(&table, "p_test")[0], numbers(&searches, "p_base")[0]);
    let names = hybrid_names(project);
    let has = |part: &str| names.iter().any(|name| name.contains(part));
    assert!(has("embed_tokens") && has(".mlp.") && has("layers.0.self_attn.v_proj"), "{names:?}");
    assert!(!has(".self_attn.q_proj") && !has(".self_attn.k_proj"), "{names:?}");
}

#[test]
fn a_finished_fine_tuning_is_not_repeated_and_its_base_serves_all_hybrids() {
    let project = Project::finished(ONE_HYBRID).copy();
    assert_eq!(project.sweep().json()["done"], 0);
    let others = "finetune.hybrids=[{ replaced = 1 }, { replaced = 2 }, { replaced = 4 }]";
    // Two more hybrids are fine-tuned and scored.
    assert_eq!(project.sweep().set(others).json()["done"], 4);
    assert_eq!(project.num_records("finetune"), 4);
}

#[test]
fn a_hybrid_can_be_distilled_by_its_logits_before() {
    let project = Project::finished(ONE_HYBRID).copy();
    let sweep = project
        .sweep()
        .set("logit-distil.hybrids=[{ replaced = 2 }]")
        .set("logit-distil.sequence-length=32")
        .set("logit-distil.batch-size=8")
        .set(r#"logit-distil.token-budget="1k""#);
    sweep.set(r#"finetune.start="logit-distil""#).success();
    // The fine-tuning of the base is not repeated.
    assert_eq!(project.num_records("finetune"), 3);
    let table = table(&project);
    let states = ["base", "base-finetuned", "hybrid", "hybrid-distilled", "hybrid-finetuned"];
    assert_eq!(texts(&table, "state"), states);
    assert_eq!(optional_texts(&table, "before")[4].as_deref(), Some("hybrid-distilled"));
}

#[test]
fn adapters_are_merged_and_restored_queries_and_keys_are_scored() {
    let lora = [
        "finetune.train={ lora = { learning-rate = 5e-3, rank = 2, alpha = 4.0 } }",
        r#"finetune.attention="all""#,
        "finetune.restore-qk=true",
        "finetune.epochs=1",
    ];
    let project = Project::finished(ONE_HYBRID).copy();
    lora.iter().fold(project.sweep(), |sweep, setting| sweep.set(setting)).success();
    let table = table(&project);
    let states = ["base", "base-finetuned", "hybrid", "hybrid-finetuned", "hybrid-restored"];
    assert_eq!(texts(&table, "state"), states);
    let files = project.cell_files("finetune", ARTIFACT);
    let all: Vec<Vec<String>> = files.iter().map(|file| names_of(file)).collect();
    let has_adapters = |names: &&Vec<String>| !names.iter().any(|name| name.contains("embed_tokens"));
    let merged: Vec<_> = all.iter().filter(has_adapters).collect();
    assert_eq!(merged.len(), 2);
    for names in merged {
        assert!(names.iter().all(|name| name.ends_with("proj.weight")), "{names:?}");
        assert!(names.iter().any(|name| name.contains(".self_attn.q_proj")), "{names:?}");
    }
}

#[test]
fn a_killed_fine_tuning_resumes_and_gives_the_same_models() {
    let settings = ["tasks.recall.source.synthetic.train-items=400", "finetune.epochs=4"];
    let sweep =
        |project: &Project| settings.iter().fold(project.sweep(), |sweep, setting| sweep.set(setting));
    let project = Project::finished(ONE_HYBRID).copy();
    let started = sweep(&project).start();
    let is_checkpoint = |path: &Path| path.parent().unwrap().ends_with("checkpoint");
    let has_checkpoint = || project.cell_files("finetune", ARTIFACT).iter().any(|file| is_checkpoint(file));
    wait_until("a checkpoint", has_checkpoint);
    started.kill();
    sweep(&project).success();
    let messages = project.messages("finetune");
    assert!(messages.iter().any(|line| line.contains("resumes after step")), "{messages:?}");
    let bytes = |project: &Project| -> Vec<Vec<u8>> {
        let files = project.cell_files("finetune", ARTIFACT);
        let mut bytes: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        bytes.sort();
        bytes
    };
    let uninterrupted = Project::finished(ONE_HYBRID).copy();
    sweep(&uninterrupted).success();
    assert!(bytes(&project) == bytes(&uninterrupted), "the resumed fine-tuning gave other models");
}

#[test]
fn train_items_whose_questions_are_also_in_another_split_are_refused() {
    let folder = TempFolder::new();
    let rows = |questions: &[&str]| -> String {
        let row = |question: &&str| format!("{{\"q\": \"where is the {question}\", \"a\": 0}}\n");
        questions.iter().map(row).collect()
    };
    let validation = folder.write("validation.jsonl", rows(&["lamp", "mirror"]));
    let test = folder.write("test.jsonl", rows(&["red lamp", "red mirror"]));
    let train = folder.write("train.jsonl", rows(&["mirror", "red", "red lamp", "lamp is the red"]));
    let file = |name: &str, path: &Path| format!("{name} = {:?}", path.display().to_string());
    let task = format!(
        "tasks.recall={{ source = {{ file = {{ {}, {}, {}, prompt = \"{{{{ q }}}}\", label = \"a\", choices = \
         {{ fixed = [\"lamp\", \"mirror\"] }} }} }} }}",
        file("train", &train),
        file("validation", &validation),
        file("test", &test)
    );
    let settings: Vec<&str> = ONE_HYBRID.iter().filter(|one| !one.starts_with("tasks.")).copied().collect();
    let project = Project::with_settings(&settings);
    let refused = project.plan().set(&task).exit(2);
    let refused = refused.stderr_contains("cannot train on 2 of 4 train items");
    refused.stderr_contains("`train/00000` has the question of the validation item `validation/00001`");
}

#[test]
fn a_task_without_train_rows_cannot_be_fine_tuned_on() {
    let folder = TempFolder::new();
    let rows = folder.write("rows.jsonl", "{\"q\": \"where is the lamp\", \"a\": 0}\n".repeat(8));
    let task = format!(
        "tasks.recall={{ source = {{ file = {{ test = {:?}, splits = \"as-published\", prompt = \"{{{{ q }}}}\", \
         label = \"a\", choices = {{ fixed = [\"lamp\", \"mirror\"] }} }} }} }}",
        rows.display().to_string()
    );
    let settings: Vec<&str> = ONE_HYBRID.iter().filter(|one| !one.starts_with("tasks.")).copied().collect();
    let refused = Project::with_settings(&settings).plan().set(&task).exit(2);
    refused.stderr_contains("the task has no train items");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let project = Project::with_settings(ONE_HYBRID);
    let plan = |setting: &str| project.plan().set(setting).exit(2);
    plan("finetune.restore-qk=true").stderr_contains("queries and keys are not trained");
    plan(r#"finetune.start="logit-distil""#).stderr_contains("`replaced=2` cannot be fine-tuned after");
    plan("sweep.variant=[]").stderr_contains("no search whose hybrids could be trained");
}

#[test]
fn a_fine_tuned_hybrid_is_exported_and_runs() {
    let project = Project::finished(ONE_HYBRID);
    let folder = project.copy();
    let directory = folder.path("trained");
    let export = |hybrid: &str| project.command("export").arg(&directory).args(["--tuned", hybrid]);
    export("replaced=3").exit(2).stderr_contains("replaced=2");
    assert_eq!(export("replaced=2").json()["layers"], json!([1, 3]));
    let card = fs::read_to_string(directory.join("README.md")).unwrap();
    assert!(card.contains("fine-tuned on the train split"), "{card}");
    let generate = DtrCommand::new("generate").arg(&directory).arg("the lamp is in the");
    assert_eq!(generate.args(["--max-tokens", "9"]).json()["tokens"], 9);
}

#[test]
fn fine_tunings_along_an_axis_share_one_search() {
    let axes = r#"sweep.axes={ "finetune.seed" = [0, 1, 2] }"#;
    let plan = Project::with_settings(ONE_HYBRID).plan().set(axes).json();
    let cells = plan["cells"].as_array().unwrap().clone();
    let count = |stage: &str| cells.iter().filter(|cell| cell["stage"] == stage).count();
    assert_eq!(["search", "finetune", "finetune-score"].map(count), [1, 6, 3]);
}
