//! Tasks whose items are rows of files, against lm-evaluation-harness: the log-likelihood of every choice, and
//! the scores.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{fixture, public_folder};
use burn::tensor::Device;
use dtr::algorithms::score::ScoreResult;
use dtr::algorithms::score::Scorer;
use dtr::data::scoring_requests::ScoringRequests;
use dtr::data::{Metric, Task, TaskSource};
use dtr::data::{Split, load_items};
use dtr::manifest::{Loaded, load};
use dtr_model::{BaseModel, Mask};
use serde_json::{Value, json};

fn manifest() -> Loaded {
    load(&fixture("tasks/tasks.toml"), &[]).unwrap()
}

fn scored(task: &Task) -> ScoreResult {
    let base = BaseModel::read(&fixture("tasks/model"), &Device::flex()).unwrap();
    let (items, room) = (load_items(task, Split::Test).unwrap(), base.decoder.config.max_positions);
    let requests = ScoringRequests::new(&base.tokenizer, items, task.metric(), room).unwrap();
    Scorer::new(&base.decoder, None, &requests).score(&Mask::none(), &Mask::none()).unwrap()
}

fn expected(file: &str, task: &str) -> Value {
    let text = fs::read_to_string(fixture(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[task].clone()
}

fn compare(task: &str, ours: &ScoreResult, expected: &Value, metric: &str) {
    assert_eq!(ours.score, expected[metric].as_f64().unwrap(), "{task} {metric}");
    let theirs = expected["log-likelihoods"].as_array().unwrap();
    assert_eq!(ours.items.len(), theirs.len());
    let mut largest = 0.0_f64;
    for (ours, theirs) in ours.items.iter().zip(theirs) {
        let theirs: Vec<f64> = theirs.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(ours.log_likelihoods.len(), theirs.len(), "{}", ours.id);
        for (ours, theirs) in ours.log_likelihoods.iter().zip(theirs) {
            largest = largest.max((ours - theirs).abs());
        }
    }
    println!("{task}: largest difference of a log-likelihood {largest:.1e}");
    assert!(largest < 1e-3, "{task}: {largest:.1e}");
}

fn check(task: &str, reference: &str, metric: &str) {
    let ours = scored(&manifest().manifest.tasks[task]);
    compare(task, &ours, &expected("tasks/expected.json", reference), metric);
}

/// A task of `experiments/base/harness.toml` with the rows at `path`, all of which judge.
fn of_the_harness(name: &str, path: &Path) -> Task {
    let folder = tempfile::tempdir().unwrap();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/base/harness.toml");
    let manifest = format!(
        "extends = [{harness:?}]\nname = \"harness\"\n[sweep]\nmodel = [\"random\"]\ntask = [{name:?}]\n\
         [models.random]\nsource = {{ path = {:?} }}\n",
        fixture("tasks/model")
    );
    fs::write(folder.path().join("harness.toml"), manifest).unwrap();
    let set = format!("tasks.{name}.source.file.test={path:?}");
    let loaded = load(&folder.path().join("harness.toml"), &[set]).unwrap();
    let mut task = loaded.manifest.tasks[name].clone();
    let TaskSource::File(file) = &mut task.source else { panic!("a task of files") };
    file.validation.get_or_insert_default();
    task
}

#[test]
fn every_task_of_the_harness_as_it_defines_it() {
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
        let task = of_the_harness(name, &fixture(&format!("tasks/{name}.jsonl")));
        let metric = if task.metric() == Metric::AccNorm { "acc-norm" } else { "acc" };
        compare(name, &scored(&task), &expected("tasks/expected.json", name), metric);
    }
}

/// `experiments/base/harness.toml` on public data, where `DTR_PUBLIC` says where that is.
#[test]
fn public_tasks_as_the_harness_has_them() {
    let Some(data) = public_folder("data") else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = ["arc-challenge", "commonsense-qa", "pubmedqa"];
    for (name, rows) in names.into_iter().zip([
        of_choices(&data.join("arc_challenge/ARC-Challenge-Dev.jsonl")),
        of_choices(&data.join("commonsenseqa/dev_rand_split.jsonl")),
        of_abstracts(&data.join("pubmedqa")),
    ]) {
        let path = folder.path().join(format!("{name}.jsonl"));
        let expected = expected("tasks/public.json", name);
        let count = expected["log-likelihoods"].as_array().unwrap().len();
        let lines: Vec<String> = rows.into_iter().take(count).map(|row| row.to_string()).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let task = of_the_harness(name, &path);
        let metric = if name == "arc-challenge" { "acc-norm" } else { "acc" };
        compare(name, &scored(&task), &expected, metric);
    }
}

fn json_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Rows of the original files of ARC and CommonsenseQA as the datasets have them.
fn of_choices(path: &Path) -> Vec<Value> {
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

/// The test rows of PubMedQA, by the numbers of their articles.
fn of_abstracts(folder: &Path) -> Vec<Value> {
    let read = |name: &str| -> BTreeMap<String, Value> {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let labelled = read("ori_pqal.json");
    read("test_ground_truth.json").keys().map(|article| labelled[article].clone()).collect()
}

#[test]
fn choices_of_several_tokens() {
    check("science", "science", "acc");
}

#[test]
fn choices_by_their_length() {
    check("science-by-length", "science", "acc-norm");
}

#[test]
fn letters_after_a_list_of_choices() {
    check("sense", "sense", "acc");
}

#[test]
fn words_after_an_abstract() {
    check("medicine", "medicine", "acc");
}

#[test]
fn words_after_more_than_fits() {
    // As the harness says in its log.
    assert_eq!(scored(&manifest().manifest.tasks["long"]).num_truncated, 3);
    check("long", "long", "acc");
}

/// Copies the manifest with rows of its own into a folder, and loads the items of `science`.
fn with_rows(rows: &str, sets: &[&str]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("tasks/tasks.toml"), folder.path().join("tasks.toml")).unwrap();
    fs::write(folder.path().join("science.jsonl"), rows).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let loaded = load(Path::new(&folder.path().join("tasks.toml")), &sets).unwrap();
    let items = load_items(&loaded.manifest.tasks["science"], Split::Test);
    items.map(|items| items.len()).map_err(|error| error.message_with_sources())
}

const ROW: &str =
    r#"{"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}"#;

#[test]
fn rows_of_parquet_are_those_of_json_lines() {
    let set = format!("tasks.science.source.file.test={:?}", fixture("tasks/science.parquet"));
    let parquet = load(&fixture("tasks/tasks.toml"), &[set]).unwrap();
    let found = [&manifest(), &parquet]
        .map(|loaded| load_items(&loaded.manifest.tasks["science"], Split::Test).unwrap());
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].len(), 8);
}

#[test]
fn a_row_that_makes_no_item_is_named() {
    for (row, message) in [
        ("[1]", "line 2 of"),
        (r#"{"choices": {"text": ["a"], "label": ["A"]}, "answerKey": "A"}"#, "row 2 of"),
        (r#"{"question": "q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "Z"}"#, "label"),
        (r#"{"question": "q", "choices": {"text": 7, "label": ["A"]}, "answerKey": "A"}"#, "choices"),
    ] {
        let error = with_rows(&format!("{ROW}\n{row}\n"), &[]).unwrap_err();
        assert!(error.contains(message) && error.contains("science.jsonl"), "{row}: {error}");
    }
    assert!(with_rows("", &[]).unwrap_err().contains("has no test items"));
}

#[test]
fn an_undivided_file_is_cut_in_two_that_share_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let row = |index: usize| ROW.replace("\"q\"", &format!("\"q{index}\""));
    let rows: Vec<String> = (0..400).map(row).collect();
    fs::write(folder.path().join("all.jsonl"), rows.join("\n")).unwrap();
    let text = format!(
        "name = \"cut\"\n[sweep]\nmodel = [\"m\"]\ntask = [\"t\"]\n[models.m]\nsource = {{ path = \"m\" }}\n{}",
        "[tasks.t.source.file]\ntest = \"all.jsonl\"\nprompt = \"{{ question }}\"\nchoices = { each = \"choices.text\" }\nlabel = \"1\"\n"
    );
    fs::write(folder.path().join("cut.toml"), text).unwrap();
    let loaded = load(&folder.path().join("cut.toml"), &[]).unwrap();
    let prompts = |split| -> Vec<String> {
        let items = load_items(&loaded.manifest.tasks["t"], split).unwrap();
        items.into_iter().map(|item| item.prompt).collect()
    };
    let (validation, test) = (prompts(Split::Validation), prompts(Split::Test));
    assert_eq!(validation.len() + test.len(), 400);
    assert!(validation.len() > 150 && test.len() > 150, "{} and {}", validation.len(), test.len());
    assert!(validation.iter().all(|prompt| !test.contains(prompt)));

    let published = [r#"tasks.t.source.file.splits="as-published""#.to_owned()];
    let loaded = load(&folder.path().join("cut.toml"), &published).unwrap();
    let whole =
        [Split::Validation, Split::Test].map(|split| load_items(&loaded.manifest.tasks["t"], split).unwrap());
    assert_eq!(whole.map(|items| items.len()), [400, 400]);
}
