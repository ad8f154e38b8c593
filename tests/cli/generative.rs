//! Generative tasks, which a model answers by generating text. The tests cover few-shot prompts, metrics,
//! programs in the sandbox, and searches.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::project::{Project, repository_root};
use crate::skipped::report_skipped;
use crate::table_columns::{counts, numbers, texts};
use crate::temp_folder::TempFolder;

/// A task that asks where an object is. The bundled base answers this question best.
const TASK: &str = r#"
[tasks.where.source.generative]
test = "rows.jsonl"
prompt = "{{context}} where is the {{object}}?"
target = "in the {{room}}"
stop = ["."]
max-tokens = 6
filters = ["strip"]
"#;

const SWEEP: &str = r#"
[sweep]
model = ["mini"]
variant = ["gla"]
task = ["where"]

[distil]
token-budget = "4k"

[search]
stop = { never = {} }
"#;

/// Creates a project with [`TASK`]. `scoring` holds the lines that set the metric of the task.
fn project(scoring: &str) -> Project {
    let quickstart = repository_root().join("experiments/quickstart.toml");
    let manifest = format!(
        "extends = [{:?}]\nname = \"small\"\n{TASK}{scoring}\n{SWEEP}",
        quickstart.display().to_string()
    );
    let rooms = ["stable", "workshop", "courtyard", "bathroom", "study"];
    let row = |index: usize| {
        let (object, room) = (["lamp", "mirror", "flute"][index % 3], rooms[index % rooms.len()]);
        let context = format!("the {object} is in the {room}.");
        json!({ "context": context, "object": object, "room": room }).to_string() + "\n"
    };
    Project::from_text(&manifest, &[("rows.jsonl", &(0..24).map(row).collect::<String>())])
}

/// Returns a Python interpreter that this machine can confine. If there is none, reports the test as skipped
/// and returns `None`.
fn confined_python() -> Option<PathBuf> {
    let python = std::env::var_os("DTR_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let folder = TempFolder::new();
    let doctor = DtrCommand::new("doctor").arg("--python").arg(&python);
    let checks = doctor.current_dir(folder.root()).json();
    let is_confined = |check: &Value| check["name"] == "sandbox" && check["ok"] == true;
    let is_ready = checks.as_array().unwrap().iter().any(is_confined);
    if !is_ready {
        report_skipped("this machine cannot confine Python programs");
    }
    is_ready.then_some(python)
}

#[test]
fn a_search_is_guided_by_generated_answers_and_pruning_does_not_change_it() {
    let trajectory = |prune: bool| {
        let project = project("metric = \"token-f1\"");
        project.sweep().set(&format!("search.prune={prune}")).success();
        let table = project.table("trajectories");
        (counts(&table, "layer"), numbers(&table, "score"), project)
    };
    let (layers, scores, project) = trajectory(true);
    assert_eq!(layers.len(), 8);
    let (exhaustive_layers, exhaustive_scores, _) = trajectory(false);
    assert_eq!((layers, scores), (exhaustive_layers, exhaustive_scores));
    let items = project.table("items");
    let (system, answers) = (texts(&items, "system"), texts(&items, "answer"));
    // The bundled base answers every question with a room.
    let of_base = system.iter().zip(&answers).filter(|(system, _)| *system == "base");
    let (count, in_a_room) = of_base.fold((0, 0), |(count, good), (_, answer)| {
        (count + 1, good + usize::from(answer.starts_with("in the ")))
    });
    assert!(count > 0 && in_a_room == count, "{answers:?}");
    assert!(numbers(&items, "score").iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn an_answer_that_is_a_program_passes_if_the_program_ends_without_an_exception() {
    let Some(python) = confined_python() else { return };
    let caches = TempFolder::new();
    let scores = |scoring: &str| {
        let project = project(scoring);
        let sweep = project.sweep().arg("--python").arg(&python).env("XDG_CACHE_HOME", caches.root());
        sweep.set("sweep.variant=[]").success();
        numbers(&project.table("bases"), "p_base")[0]
    };
    let exact = scores("metric = { exact-match = {} }");
    assert!(exact > 0.5, "{exact}");
    let program = "code = { program = \"assert '{{answer}}' == 'in the {{room}}'\" }";
    assert_eq!(scores(program), exact);
    assert_eq!(scores("code = { program = \"import socket; socket.socket(); '{{answer}}'\" }"), 0.0);
}

/// A script that gives half of the score of an exact match, and all of it to answers in the study.
const SCRIPT: &str = r#"
import json, sys
item = json.load(sys.stdin)
assert item["text"].strip() == item["answer"] and item["references"] == [item["target"]]
scale = 1.0 if item["row"]["room"] == "study" else float(sys.argv[1])
print(scale * (item["answer"] == item["target"]))
"#;

#[test]
fn a_script_of_the_user_scores_the_answers_and_its_content_decides_the_key() {
    let Some(python) = confined_python() else { return };
    let caches = TempFolder::new();
    let project = project("script = { file = \"score.py\", arguments = [\"0.5\"] }");
    let script = project.path("score.py");
    let sweep = || {
        let sweep = project.sweep().arg("--python").arg(&python).env("XDG_CACHE_HOME", caches.root());
        sweep.set("sweep.variant=[]").success();
        let items = project.table("items");
        (texts(&items, "answer"), numbers(&items, "score"), numbers(&project.table("bases"), "p_base")[0])
    };
    std::fs::write(&script, SCRIPT).unwrap();
    let (answers, scores, mean) = sweep();
    assert!(scores.iter().all(|score| [0.0, 0.5, 1.0].contains(score)), "{scores:?}");
    assert!(scores.contains(&0.5) && scores.contains(&1.0), "{answers:?} {scores:?}");
    assert!((mean - scores.iter().sum::<f64>() / scores.len() as f64).abs() < 1e-12);
    std::fs::write(&script, SCRIPT.replace("scale *", "1.0 *")).unwrap();
    let (_, scores, _) = sweep();
    assert!(scores.iter().all(|score| [0.0, 1.0].contains(score)), "{scores:?}");
    std::fs::write(&script, "print('good')").unwrap();
    let sweep = project.sweep().arg("--python").arg(&python).set("sweep.variant=[]").exit(1);
    let error = sweep.stderr();
    assert!(error.contains("with `score.py`: it printed `good`, and not a number from 0 to 1"), "{error}");
}

#[test]
fn a_later_process_runs_no_program_again_whose_verdict_is_stored() {
    let Some(python) = confined_python() else { return };
    let caches = TempFolder::new();
    let stored = caches.root().join("dtr/verdicts/scores.jsonl");
    let score = || {
        let project = project("code = { program = \"assert '{{answer}}' == 'in the {{room}}'\" }");
        let sweep = project.sweep().arg("--python").arg(&python).env("XDG_CACHE_HOME", caches.root());
        sweep.set("sweep.variant=[]").success();
        numbers(&project.table("bases"), "p_base")[0]
    };
    let first = score();
    let lines = std::fs::read_to_string(&stored).unwrap();
    assert!(first > 0.5 && lines.contains("\"score\":1.0"), "{first} {lines}");
    // The second project takes the stored verdicts: once they are false, its score is false too.
    std::fs::write(&stored, lines.replace("\"score\":1.0", "\"score\":0.0")).unwrap();
    assert_eq!(score(), 0.0);
    assert!(!std::fs::read_to_string(&stored).unwrap().contains("\"score\":1.0"));
}

#[test]
fn a_task_needs_either_a_metric_or_a_test() {
    for scoring in ["", "metric = \"token-f1\"\ncode = { program = \"{{answer}}\" }"] {
        let error = project(scoring).plan().exit(2).message();
        assert!(error.contains("needs `metric`, `code` or `script`"), "{error}");
    }
    let error = project("code = { program = \"pass\" }").plan().exit(2).message();
    assert!(error.contains("does not contain the answer"), "{error}");
}

#[test]
fn the_strategy_impact_is_refused_for_generated_answers() {
    let project = project("metric = \"token-f1\"");
    let error = project.plan().set("search.strategy={ impact = {} }").exit(2).message();
    assert!(error.contains("impact"), "{error}");
}
