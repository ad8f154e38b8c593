//! Hybrids learn a task from checkpoints of their base's fine-tuning. The report compares the students.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::finetune::ONE_HYBRID;
use crate::project::{Project, repository_root, wait_until};
use crate::table_columns::{numbers, optional_numbers, optional_texts, texts};
use crate::temp_folder::TempFolder;

/// Returns settings for sweeps with one search, whose hybrid with two replaced layers becomes students.
fn students() -> Vec<&'static str> {
    let of_students = [
        "checkpoint-distil.hybrids=[{ replaced = 2 }]",
        "checkpoint-distil.checkpoints=3",
        "checkpoint-distil.stages=2",
        "checkpoint-distil.epochs-per-stage=1",
    ];
    [ONE_HYBRID, &of_students].concat()
}

const ARTIFACT: &str = "tuned.safetensors";

const STUDENT_STATES: [&str; 4] =
    ["student-plain", "student-scheduled", "student-weighted", "student-scheduled-weighted"];

fn bytes_of(project: &Project, stage: &str) -> Vec<Vec<u8>> {
    let names =
        ["checkpoint-1.safetensors", "checkpoint-2.safetensors", "checkpoint-3.safetensors", ARTIFACT];
    let files = names.iter().flat_map(|name| project.cell_files(stage, name));
    files.map(|file| fs::read(file).unwrap()).collect()
}

fn is_in_checkpoint_folder(path: &Path) -> bool {
    path.parent().unwrap().ends_with("checkpoint")
}

#[test]
fn four_students_are_scored_beside_the_hybrid_without_a_teacher() {
    let project = Project::finished(&students());
    for (stage, records) in [("finetune", 2), ("checkpoint-distil", 4), ("finetune-score", 1)] {
        assert_eq!(project.num_records(stage), records, "{stage}");
    }
    let table = project.table("finetuned_hybrids");
    let states = texts(&table, "state");
    assert_eq!(states[..4], ["base", "base-finetuned", "hybrid", "hybrid-finetuned"]);
    assert_eq!(states[4..], STUDENT_STATES);
    let before = optional_texts(&table, "before");
    assert_eq!(before[4].as_deref(), Some("hybrid"));
    assert!(before[5..].iter().all(|before| before.as_deref() == Some("student-plain")), "{before:?}");
    let controls = optional_texts(&table, "control");
    assert!(controls[4..].iter().all(|control| control.as_deref() == Some("base-finetuned")), "{controls:?}");
    // All students begin as the same hybrid.
    let losses = optional_numbers(&table, "loss_before");
    assert!(losses[3..].iter().all(|loss| *loss == losses[3]), "{losses:?}");
    let keys = optional_texts(&table, "training_key");
    assert!((4..8).all(|row| keys[row].is_some() && !keys[..row].contains(&keys[row])), "{keys:?}");
    let (scores, gains) = (numbers(&table, "p_test"), optional_numbers(&table, "gain"));
    assert!((5..8).all(|row| (gains[row].unwrap() - 100.0 * (scores[row] - scores[4])).abs() < 1e-9));
    let text = project.command("report").success();
    text.stdout_contains("students of checkpoints");
}

#[test]
fn only_the_base_keeps_checkpoints_and_the_last_one_is_the_end_of_its_fine_tuning() {
    let project = Project::finished(&students());
    let files = project.cell_files("finetune", "checkpoint-3.safetensors");
    assert_eq!(files.len(), 1);
    let folder = files[0].parent().unwrap();
    let kept: Vec<Vec<u8>> = (1..=3)
        .map(|number| fs::read(folder.join(format!("checkpoint-{number}.safetensors"))).unwrap())
        .collect();
    assert!(kept[0] != kept[1] && kept[1] != kept[2]);
    assert!(!folder.join("checkpoint-4.safetensors").exists());
    // The loss fell in both epochs, so the best epoch is the last one.
    assert!(kept[2] == fs::read(folder.join(ARTIFACT)).unwrap());
}

#[test]
fn a_finished_student_is_not_repeated_and_a_method_can_be_added() {
    let project = Project::finished(&students()).copy();
    assert_eq!(project.sweep().json()["done"], 0);
    let plain = r#"checkpoint-distil.methods=["plain"]"#;
    // The comparison is another one, and its student exists already.
    assert_eq!(project.sweep().set(plain).json()["done"], 1);
    assert_eq!(project.num_records("checkpoint-distil"), 4);
    let states = texts(&project.table("finetuned_hybrids"), "state");
    assert_eq!(states[4..], ["student-plain"]);
    let selected = project.sweep().args(["--only", "checkpoint-distil:tiny"]).json();
    assert_eq!((&selected["done"], &selected["cached"]), (&Value::from(0), &Value::from(4)), "{selected}");
}

#[test]
fn a_killed_student_resumes_and_gives_the_same_model() {
    let settings = [
        "tasks.recall.source.synthetic.train-items=400",
        r#"checkpoint-distil.methods=["scheduled-weighted"]"#,
        "checkpoint-distil.epochs-per-stage=3",
    ];
    let sweep = |project: &Project| project.sweep().sets(&settings);
    let project = Project::finished(&students()).copy();
    let num_finished = project.cell_files("checkpoint-distil", ARTIFACT).len();
    let started = sweep(&project).start();
    let has_checkpoint = || {
        let files = project.cell_files("checkpoint-distil", ARTIFACT);
        files.iter().any(|file| is_in_checkpoint_folder(file))
    };
    wait_until("a checkpoint", has_checkpoint);
    started.kill();
    sweep(&project).success();
    assert_eq!(project.cell_files("checkpoint-distil", ARTIFACT).len(), num_finished + 1);
    let messages = project.messages("checkpoint-distil");
    assert!(messages.iter().any(|line| line.contains("resumes after step")), "{messages:?}");
    let uninterrupted = Project::finished(&students()).copy();
    sweep(&uninterrupted).success();
    let same = bytes_of(&project, "checkpoint-distil") == bytes_of(&uninterrupted, "checkpoint-distil");
    assert!(same, "the resumed training gave another student");
}

#[test]
fn a_killed_teacher_whose_kept_checkpoint_is_lost_begins_again() {
    let settings = [
        "tasks.recall.source.synthetic.train-items=400",
        "finetune.epochs=6",
        r#"checkpoint-distil.methods=["plain"]"#,
    ];
    let sweep = |project: &Project| project.sweep().sets(&settings);
    let project = Project::finished(&students()).copy();
    let kept = || {
        let files = project.cell_files("finetune", "checkpoint-1.safetensors");
        files.into_iter().find(|file| is_in_checkpoint_folder(file))
    };
    let started = sweep(&project).start();
    wait_until("a kept checkpoint", || kept().is_some_and(|file| file.with_file_name(ARTIFACT).exists()));
    started.kill();
    fs::remove_file(kept().unwrap()).unwrap();
    sweep(&project).success();
    let uninterrupted = Project::finished(&students()).copy();
    sweep(&uninterrupted).success();
    assert!(bytes_of(&project, "finetune") == bytes_of(&uninterrupted, "finetune"), "the teachers differ");
}

#[test]
fn another_model_with_the_same_tokenizer_can_be_the_teacher() {
    let folder = TempFolder::new();
    let mini = repository_root().join("models/mini");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(mini.join(name), folder.path(name)).unwrap();
    }
    let tokenizer = fs::read_to_string(mini.join("tokenizer.json")).unwrap();
    folder.write("tokenizer.json", tokenizer.replace("\"colour\"", "\"color\""));
    let other = format!("models.other.source.path={:?}", folder.path("").display().to_string());
    let teacher = |name: &str| format!("checkpoint-distil.teacher={name:?}");
    let project = Project::finished(&students()).copy();
    let refused = project.plan().set(&other).set(&teacher("other")).exit(2);
    let refused = refused.stderr_contains(
        "cannot distil checkpoints of `other` into hybrids of `tiny`: their tokenizers differ",
    );
    refused.stderr_contains("in place of `other` that has the tokenizer of `tiny`");
    let wide = "models.wide.source={ pretrain = { hidden-size = 48, intermediate-size = 64, num-layers = 2, \
                num-heads = 2, num-kv-heads = 2, head-dim = 16 } }";
    let plain = r#"checkpoint-distil.methods=["plain"]"#;
    project.sweep().set(wide).set(&teacher("wide")).set(plain).success();
    // The base of the student is fine-tuned without checkpoints, as a control.
    for (stage, records) in [("pretrain", 2), ("finetune", 4), ("checkpoint-distil", 5)] {
        assert_eq!(project.num_records(stage), records, "{stage}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let project = Project::with_settings(&students());
    let plan = |setting: &str| project.plan().set(setting).exit(2);
    plan("finetune.hybrids=[{ replaced = 1 }]").stderr_contains("`replaced=2` cannot become a student");
    plan(r#"checkpoint-distil.teacher="tiyn""#).stderr_contains("did you mean `tiny`?");
    plan("checkpoint-distil.methods=[]").stderr_contains("`checkpoint-distil.methods`");
    plan("checkpoint-distil.checkpoints=0").stderr_contains("must be at least 1");
}

#[test]
fn a_teacher_with_fewer_steps_than_checkpoints_fails() {
    let project = Project::finished(&students()).copy();
    let sweep = project.sweep().set("checkpoint-distil.checkpoints=64").exit(1);
    sweep.stderr_contains("cannot keep 64 checkpoints of the fine-tuning");
}

#[test]
fn students_along_an_axis_share_teacher_and_search() {
    let axes = r#"sweep.axes={ "checkpoint-distil.stages" = [1, 2, 4] }"#;
    let plan = Project::with_settings(&students()).plan().set(axes).json();
    let cells = plan["cells"].as_array().unwrap().clone();
    let count = |stage: &str| cells.iter().filter(|cell| cell["stage"] == stage).count();
    let stages = ["search", "finetune", "checkpoint-distil", "finetune-score"];
    assert_eq!(stages.map(count), [1, 2, 12, 3]);
}
