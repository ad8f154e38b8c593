//! An exported hybrid of a search: its text in transformers, and its scores in lm-evaluation-harness.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use polars::prelude::DataFrame;
use serde_json::Value;

use crate::dtr_command::DtrCommand;
use crate::project::{Project, repository_root};
use crate::python::assert_success;
use crate::skipped::report_skipped;
use crate::transformers::find_transformers;

const ROOMS: [&str; 4] = ["kitchen", "garden", "study", "attic"];

/// The task in dtr.
pub const TASK: &str = r#"
[tasks.own.source.file]
test = "rows.jsonl"
splits = "as-published"
prompt = "{{ said }} where is the lamp? in the"
choices = { fixed = ["kitchen", "garden", "study", "attic"] }
label = "room"
"#;

/// The largest difference between two log-likelihoods, in nats.
const MAX_DIFFERENCE: f64 = 1e-3;

/// The task in lm-evaluation-harness. `ROWS` stands for the path of the rows.
pub const HARNESS_TASK: &str = r#"task: own
dataset_path: json
dataset_kwargs: {data_files: {test: "ROWS"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{said}} where is the lamp? in the"
doc_to_choice: ["kitchen", "garden", "study", "attic"]
doc_to_target: room
metric_list: [{metric: acc}]
"#;

/// Returns the rows of the tasks as JSON Lines.
pub fn rows() -> String {
    let row = |at: usize| {
        let (first, second) = (ROOMS[at % 4], ROOMS[(at / 4 + at + 1) % 4]);
        let said = format!("the lamp is in the {first}. pia walks to the {second}.");
        serde_json::json!({ "said": said, "room": at % 4 }).to_string() + "\n"
    };
    (0..16).map(row).collect()
}

/// Returns a project with one search over the task, which replaces all layers of the bundled base.
fn project() -> Project {
    project_with(TASK, &["own"])
}

/// Returns a project with one search over each of `tasks`, which `tables` define. Each search replaces all
/// layers of the bundled base.
pub fn project_with(tables: &str, tasks: &[&str]) -> Project {
    let variants = repository_root().join("experiments/base/variants.toml");
    let recipe = repository_root().join("experiments/base/recipe.toml");
    let base = repository_root().join("models/mini");
    let manifest = format!(
        r#"extends = [{variants:?}, {recipe:?}]
name = "own"
[models.mini]
source = {{ path = {base:?} }}
{tables}
[sweep]
model = ["mini"]
variant = ["jet"]
task = {tasks:?}
[distil]
token-budget = "2k"
sequence-length = 64
batch-size = 4
[search]
stop = {{ never = {{}} }}
"#
    );
    Project::from_text(&manifest, &[("rows.jsonl", &rows())])
}

/// Returns the log-likelihoods of the choices that dtr computed for the hybrid, by item.
pub fn log_likelihoods(items: &DataFrame) -> Vec<Vec<f64>> {
    let systems = items.column("system").unwrap().str().unwrap();
    let lists = items.column("log_likelihoods").unwrap().list().unwrap();
    let list =
        |row: usize| lists.get_as_series(row).unwrap().f64().unwrap().iter().map(Option::unwrap).collect();
    (0..items.height()).filter(|row| systems.get(*row) == Some("opt")).map(list).collect()
}

/// Returns the log-likelihoods in the log that lm-evaluation-harness writes below `folder`, by item.
pub fn harness_log_likelihoods(folder: &Path, task: &str) -> Vec<Vec<f64>> {
    let number = |answer: &Value| match &answer[0] {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    };
    harness_samples(folder, task)
        .iter()
        .map(|sample| sample["filtered_resps"].as_array().unwrap().iter().map(number).collect())
        .collect()
}

/// Returns the lines of the log that lm-evaluation-harness writes below `folder` for a task, by item.
pub fn harness_samples(folder: &Path, task: &str) -> Vec<Value> {
    let name = format!("samples_{task}_");
    let is_log = |path: &std::path::PathBuf| path.to_string_lossy().contains(&name);
    let log = crate::project::files_below(folder).into_iter().find(is_log).expect("there is a log");
    let lines = fs::read_to_string(log).unwrap();
    let sample = |line: &str| {
        let sample: Value = serde_json::from_str(line).unwrap();
        (sample["doc_id"].as_u64().unwrap(), sample)
    };
    let by_item: BTreeMap<u64, Value> = lines.lines().map(sample).collect();
    by_item.into_values().collect()
}

#[test]
fn a_hybrid_of_a_search_has_the_same_text_and_scores_in_other_software() {
    let project = project();
    let python = || find_transformers(&project.path("cache"));
    let mut generate = match python() {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    project.sweep().success();
    let hybrid = project.path("hybrid");
    project.command("export").arg(&hybrid).success();

    let prompt = "the lamp is in the";
    generate.arg(repository_root().join("tests/export/transformers_text.py"));
    let output = generate.arg(&hybrid).args([prompt, "30"]).output().unwrap();
    assert_success(&output);
    let text = DtrCommand::new("generate").arg(&hybrid).arg(prompt).args(["--max-tokens", "30"]).success();
    assert_eq!(String::from_utf8_lossy(&output.stdout), text.stdout());

    let task = HARNESS_TASK.replace("ROWS", &project.path("rows.jsonl").display().to_string());
    fs::write(project.path("own.yaml"), task).unwrap();
    let model = format!("pretrained={},trust_remote_code=True,dtype=float32", hybrid.display());
    let mut harness = python().unwrap();
    harness.args(["-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "4"]);
    harness.args(["--model_args", &model, "--log_samples", "--output_path"]).arg(project.path("scores"));
    assert_success(&harness.arg("--tasks").arg(project.path("own.yaml")).output().unwrap());
    let computed = log_likelihoods(&project.table_of("own", "items"));
    let expected = harness_log_likelihoods(&project.path("scores"), "own");
    assert_eq!((computed.len(), expected.len()), (16, 16));
    for (computed, expected) in computed.iter().zip(&expected) {
        let differences =
            computed.iter().zip(expected).map(|(computed, expected)| (computed - expected).abs());
        assert!(differences.fold(0.0, f64::max) < MAX_DIFFERENCE, "{computed:?} {expected:?}");
    }
}
