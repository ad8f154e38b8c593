//! A served hybrid: its scores in lm-evaluation-harness over HTTP, and its texts in OpenAI's client.

use std::fs;
use std::path::Path;

use polars::prelude::{BooleanChunked, DataFrame};

use crate::dtr_command::DtrCommand;
use crate::dtr_server::DtrServer;
use crate::harness::{
    HARNESS_TASK, TASK, harness_log_likelihoods, harness_samples, log_likelihoods, project_with,
};
use crate::project::{Project, repository_root};
use crate::python::assert_success;
use crate::skipped::report_skipped;
use crate::transformers::find_transformers;

/// The largest difference between two log-likelihoods, in nats. dtr scores items in batches, whose sums have
/// another order than those of single prompts.
const MAX_DIFFERENCE: f64 = 1e-5;

/// Two further tasks in dtr.
const TASKS: &str = r#"
[tasks.whole.source.file]
test = "rows.jsonl"
splits = "as-published"
prompt = "{{ said }} where is the lamp?"
choices = { fixed = ["in the kitchen.", "in the garden.", "in the study.", "in the attic."] }
label = "room"

[tasks.write.source.generative]
test = "rows.jsonl"
splits = "as-published"
prompt = "{{ said }} where is the lamp?"
target = "in the"
stop = ["."]
max-tokens = 6
metric = "contains"
"#;

/// The further tasks in lm-evaluation-harness.
const HARNESS_TASKS: [(&str, &str); 2] = [
    (
        "whole",
        r#"task: whole
dataset_path: json
dataset_kwargs: {data_files: {test: "ROWS"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{said}} where is the lamp?"
doc_to_choice: ["in the kitchen.", "in the garden.", "in the study.", "in the attic."]
doc_to_target: room
metric_list: [{metric: acc}]
"#,
    ),
    (
        "write",
        r#"task: write
dataset_path: json
dataset_kwargs: {data_files: {test: "ROWS"}}
test_split: test
output_type: generate_until
doc_to_text: "{{said}} where is the lamp?"
doc_to_target: "in the"
generation_kwargs: {until: ["."], max_gen_toks: 6}
metric_list: [{metric: exact_match}]
"#,
    ),
];

#[test]
fn a_served_hybrid_has_the_scores_of_dtr_and_serves_openais_client() {
    let project = project_with(&format!("{TASK}{TASKS}"), &["own", "whole", "write"]);
    let python = || find_transformers(&project.path("cache"));
    if let Err(reason) = python() {
        return report_skipped(&reason);
    }
    project.sweep().success();
    let hybrid = project.path("hybrid");
    project.command("export").arg(&hybrid).args(["--task", "own"]).success();
    let server = DtrServer::start(&hybrid, |command| command);
    let base_url = format!("http://{}/v1", server.address());

    let mut harness = python().unwrap();
    let model = format!(
        "model=hybrid,base_url={base_url}/completions,tokenizer={},tokenizer_backend=huggingface,\
         add_bos_token=True,max_length=128,num_concurrent=4,trust_remote_code=True",
        hybrid.display()
    );
    harness.args(["-m", "lm_eval", "run", "--model", "local-completions", "--model_args", &model]);
    harness.args(["--log_samples", "--output_path"]).arg(project.path("scores")).arg("--tasks");
    assert_success(&harness.args(write_tasks(&project)).output().unwrap());
    let scores = project.path("scores");
    for task in ["own", "whole"] {
        check_log_likelihoods(&items(&project, task), &harness_log_likelihoods(&scores, task));
    }
    check_texts(&items(&project, "write"), &scores);

    let prompt = "the lamp is in the";
    let text = DtrCommand::new("generate").arg(&hybrid).arg(prompt).args(["--max-tokens", "30"]).success();
    let mut client = python().unwrap();
    client.arg(repository_root().join("tests/export/openai_client.py"));
    let output = client.args([&base_url, "hybrid", prompt, "30"]).output().unwrap();
    assert_success(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), text.stdout().repeat(2));
    server.stop().assert_code(0);
}

/// Writes the tasks of lm-evaluation-harness, and returns their files.
fn write_tasks(project: &Project) -> Vec<std::path::PathBuf> {
    let rows = project.path("rows.jsonl").display().to_string();
    let write = |(name, task): &(&str, &str)| {
        let path = project.path(&format!("{name}.yaml"));
        fs::write(&path, task.replace("ROWS", &rows)).unwrap();
        path
    };
    [("own", HARNESS_TASK)].iter().chain(&HARNESS_TASKS).map(write).collect()
}

/// Returns the items of a task that the hybrid with all layers replaced has answered.
fn items(project: &Project, task: &str) -> DataFrame {
    let items = project.table_of("own", "items");
    let column = |name: &str| items.column(name).unwrap().str().unwrap().clone();
    let (tasks, systems) = (column("task"), column("system"));
    let rows = tasks.iter().zip(systems.iter());
    let mask: BooleanChunked = rows.map(|row| row == (Some(task), Some("opt"))).collect();
    items.filter(&mask).unwrap()
}

fn check_log_likelihoods(items: &DataFrame, found: &[Vec<f64>]) {
    let expected = log_likelihoods(items);
    assert_eq!((expected.len(), found.len()), (16, 16));
    let highest = |numbers: &Vec<f64>| numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for (expected, found) in expected.iter().zip(found) {
        let differences = expected.iter().zip(found).map(|(expected, found)| (expected - found).abs());
        assert!(differences.fold(0.0, f64::max) < MAX_DIFFERENCE, "{expected:?} {found:?}");
        let choice = |numbers: &Vec<f64>| numbers.iter().position(|&number| number == highest(numbers));
        assert_eq!(choice(expected), choice(found), "{expected:?} {found:?}");
    }
}

fn check_texts(items: &DataFrame, scores: &Path) {
    let expected: Vec<&str> = items.column("text").unwrap().str().unwrap().iter().flatten().collect();
    let samples = harness_samples(scores, "write");
    let found: Vec<&str> = samples.iter().map(|sample| sample["resps"][0][0].as_str().unwrap()).collect();
    assert_eq!(expected.len(), 16);
    assert_eq!(found, expected);
}
