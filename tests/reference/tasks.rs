//! Compares the log-likelihoods and the scores of tasks with lm-evaluation-harness. The items of the tasks
//! are rows of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{fixture, public_folder};
use burn::tensor::Device;
use dtr::algorithms::score::ScoreResult;
use dtr::algorithms::score::{Scorer, SplitScorer};
use dtr::data::scoring_requests::ScoringRequests;
use dtr::data::{Metric, Task, TaskSource};
use dtr::data::{Split, load_items};
use dtr::manifest::{LoadedManifest, load_manifest};
use dtr_model::{BaseModel, Mask};
use serde_json::{Value, json};

fn manifest() -> LoadedManifest {
    load_manifest(&fixture("tasks/tasks.toml"), &[]).unwrap()
}

fn score(task: &Task) -> ScoreResult {
    let base = BaseModel::read(&fixture("tasks/model"), &Device::flex()).unwrap();
    let (items, context) = (load_items(task, Split::Test).unwrap(), base.decoder.config.max_positions);
    let requests = ScoringRequests::new(&base.tokenizer, items, task.metric(), context).unwrap();
    Scorer::new(&base.decoder, None, &requests).score(&Mask::empty(), &Mask::empty()).unwrap()
}

fn expected(file: &str, task: &str) -> Value {
    let text = fs::read_to_string(fixture(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[task].clone()
}

/// Largest accepted difference of a log-likelihood in f32, for texts of a few hundred tokens.
const MAX_DIFFERENCE: f64 = 1e-3;

/// Compares a score exactly, and log-likelihoods within [`MAX_DIFFERENCE`].
fn compare(task: &str, computed: &ScoreResult, expected: &Value, metric: &str) {
    assert_eq!(computed.score, expected[metric].as_f64().unwrap(), "{task} {metric}");
    let references = expected["log-likelihoods"].as_array().unwrap();
    assert_eq!(computed.items.len(), references.len());
    let mut largest = 0.0_f64;
    for (item, reference) in computed.items.iter().zip(references) {
        let reference: Vec<f64> = serde_json::from_value(reference.clone()).unwrap();
        assert_eq!(item.log_likelihoods().len(), reference.len(), "{}", item.id());
        for (computed, reference) in item.log_likelihoods().iter().zip(reference) {
            largest = largest.max((computed - reference).abs());
        }
    }
    println!("{task}: largest difference of a log-likelihood {largest:.1e}");
    assert!(largest < MAX_DIFFERENCE, "{task}: {largest:.1e}");
}

/// Compares the scores of a task in `tasks.toml` with the scores of the task `reference` in the harness.
fn check_task(task: &str, reference: &str, metric: &str) {
    let computed = score(&manifest().manifest.tasks[task]);
    compare(task, &computed, &expected("tasks/expected.json", reference), metric);
}

/// Returns a task of `experiments/base/harness.toml` over the rows at `path`. All rows are test items.
fn harness_task(name: &str, path: &Path) -> Task {
    let folder = tempfile::tempdir().unwrap();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/base/harness.toml");
    let manifest = format!(
        "extends = [{harness:?}]\nname = \"harness\"\n[sweep]\nmodel = [\"random\"]\ntask = [{name:?}]\n\
         [models.random]\nsource = {{ path = {:?} }}\n",
        fixture("tasks/model")
    );
    fs::write(folder.path().join("harness.toml"), manifest).unwrap();
    let set = format!("tasks.{name}.source.file.test={path:?}");
    let loaded = load_manifest(&folder.path().join("harness.toml"), &[set]).unwrap();
    let mut task = loaded.manifest.tasks[name].clone();
    let TaskSource::File(file) = &mut task.source else { panic!("the task does not read files") };
    file.validation.get_or_insert_default();
    task
}

#[test]
fn every_harness_task_has_the_scores_of_the_harness() {
    for name in [
        "arc-easy",
        "boolq",
        "hellaswag",
        "mathqa",
        "mmlu-econometrics",
        "mmlu-marketing",
        "openbookqa",
        "piqa",
        "winogrande",
    ] {
        let task = harness_task(name, &fixture(&format!("tasks/{name}.jsonl")));
        let metric = if task.metric() == Metric::AccNorm { "acc-norm" } else { "acc" };
        compare(name, &score(&task), &expected("tasks/expected.json", name), metric);
    }
}

#[test]
fn harness_tasks_have_the_scores_of_the_harness_on_public_data() {
    let Some(data) = public_folder("data") else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = ["arc-challenge", "commonsense-qa", "pubmedqa"];
    for (name, rows) in names.into_iter().zip([
        multiple_choice_rows(&data.join("arc_challenge/ARC-Challenge-Dev.jsonl")),
        multiple_choice_rows(&data.join("commonsenseqa/dev_rand_split.jsonl")),
        pubmedqa_rows(&data.join("pubmedqa")),
    ]) {
        let path = folder.path().join(format!("{name}.jsonl"));
        let expected = expected("tasks/public.json", name);
        let count = expected["log-likelihoods"].as_array().unwrap().len();
        let lines: Vec<String> = rows.into_iter().take(count).map(|row| row.to_string()).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let task = harness_task(name, &path);
        let metric = if name == "arc-challenge" { "acc-norm" } else { "acc" };
        compare(name, &score(&task), &expected, metric);
    }
}

fn json_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Reads a published file of ARC or CommonsenseQA. Returns its rows in the layout of the data set on the hub.
fn multiple_choice_rows(path: &Path) -> Vec<Value> {
    let row = |row: Value| {
        let column = |key: &str| -> Vec<Value> {
            let choices = row["question"]["choices"].as_array().unwrap();
            choices.iter().map(|choice| choice[key].clone()).collect()
        };
        json!({
            "question": row["question"]["stem"],
            "choices": { "text": column("text"), "label": column("label") },
            "answerKey": row["answerKey"],
        })
    };
    json_lines(path).into_iter().map(row).collect()
}

/// Returns the test rows of PubMedQA, sorted by the ids of their articles.
fn pubmedqa_rows(folder: &Path) -> Vec<Value> {
    let read = |name: &str| -> BTreeMap<String, Value> {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let labelled = read("ori_pqal.json");
    read("test_ground_truth.json").keys().map(|article| labelled[article].clone()).collect()
}

#[test]
fn choices_may_have_several_tokens() {
    check_task("science", "science", "acc");
}

#[test]
fn scores_may_be_normalised_by_length() {
    check_task("science-by-length", "science", "acc-norm");
}

#[test]
fn choices_may_be_letters_after_a_list_of_answers() {
    check_task("sense", "sense", "acc");
}

#[test]
fn choices_may_be_words_after_an_abstract() {
    check_task("medicine", "medicine", "acc");
}

#[test]
fn a_prompt_that_is_too_long_is_truncated_on_the_left() {
    // lm-evaluation-harness logs the same number of truncated items.
    assert_eq!(score(&manifest().manifest.tasks["long"]).num_truncated, 3);
    check_task("long", "long", "acc");
}

/// Reads the items of the task `science` from `rows`. Returns the number of items, or the error.
fn read_rows(rows: &str, sets: &[&str]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("tasks/tasks.toml"), folder.path().join("tasks.toml")).unwrap();
    fs::write(folder.path().join("science.jsonl"), rows).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let loaded = load_manifest(Path::new(&folder.path().join("tasks.toml")), &sets).unwrap();
    let items = load_items(&loaded.manifest.tasks["science"], Split::Test);
    items.map(|items| items.len()).map_err(|error| error.message_with_sources())
}

const ROW: &str =
    r#"{"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}"#;

#[test]
fn parquet_rows_give_the_items_of_json_lines() {
    let set = format!("tasks.science.source.file.test={:?}", fixture("tasks/science.parquet"));
    let parquet = load_manifest(&fixture("tasks/tasks.toml"), &[set]).unwrap();
    let [lines, parquet] = [&manifest(), &parquet]
        .map(|loaded| load_items(&loaded.manifest.tasks["science"], Split::Test).unwrap());
    assert_eq!(lines, parquet);
    assert_eq!(lines.len(), 8);
}

#[test]
fn a_row_that_makes_no_item_is_named() {
    for (row, message) in [
        ("[1]", "line 2 of"),
        (r#"{"choices": {"text": ["a"], "label": ["A"]}, "answerKey": "A"}"#, "row 2 of"),
        (r#"{"question": "q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "Z"}"#, "label"),
        (r#"{"question": "q", "choices": {"text": 7, "label": ["A"]}, "answerKey": "A"}"#, "choices"),
    ] {
        let error = read_rows(&format!("{ROW}\n{row}\n"), &[]).unwrap_err();
        assert!(error.contains(message) && error.contains("science.jsonl"), "{row}: {error}");
    }
    assert!(read_rows("", &[]).unwrap_err().contains("has no test items"));
}

#[test]
fn a_file_without_splits_is_divided_into_splits_that_share_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let row = |index: usize| ROW.replace("\"q\"", &format!("\"q{index}\""));
    let rows: Vec<String> = (0..400).map(row).collect();
    fs::write(folder.path().join("all.jsonl"), rows.join("\n")).unwrap();
    let text = format!(
        "name = \"cut\"\n[sweep]\nmodel = [\"m\"]\ntask = [\"t\"]\n[models.m]\nsource = {{ path = \"m\" }}\n{}",
        "[tasks.t.source.file]\ntest = \"all.jsonl\"\nprompt = \"{{ question }}\"\nchoices = { each = \"choices.text\" }\nlabel = \"1\"\n"
    );
    fs::write(folder.path().join("cut.toml"), text).unwrap();
    let loaded = load_manifest(&folder.path().join("cut.toml"), &[]).unwrap();
    let prompts = |split| -> Vec<String> {
        let items = load_items(&loaded.manifest.tasks["t"], split).unwrap();
        items.into_iter().map(|item| item.prompt).collect()
    };
    let (validation, test) = (prompts(Split::Validation), prompts(Split::Test));
    assert_eq!(validation.len() + test.len(), 400);
    assert!(validation.len() > 150 && test.len() > 150, "{} and {}", validation.len(), test.len());
    assert!(validation.iter().all(|prompt| !test.contains(prompt)));

    let published = [r#"tasks.t.source.file.splits="as-published""#.to_owned()];
    let loaded = load_manifest(&folder.path().join("cut.toml"), &published).unwrap();
    let whole =
        [Split::Validation, Split::Test].map(|split| load_items(&loaded.manifest.tasks["t"], split).unwrap());
    assert_eq!(whole.map(|items| items.len()), [400, 400]);
}
