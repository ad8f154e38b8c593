//! A sweep records and reports the failure of a cell with its cause, and runs the other cells.

use std::fs;
use std::path::PathBuf;

use dtr::store::EventKind;
use serde_json::Value;

use crate::project::{ONE_SEARCH, Project};

/// Two learning rates. With the first rate, training diverges. With the second rate, training succeeds.
const LEARNING_RATES: &str = r#"sweep.axes."distil.optimizer.learning-rate"=[10, 2e-3]"#;

fn project() -> Project {
    Project::with_settings(&[ONE_SEARCH, &[LEARNING_RATES]].concat())
}

fn list_length(summary: &Value, list: &str) -> usize {
    summary[list].as_array().unwrap().len()
}

#[test]
fn a_divergence_is_recorded_with_layer_and_variant_and_other_cells_run() {
    let project = project();
    let first = project.sweep().arg("--json").exit(1).json();
    assert_eq!(
        (&first["done"], list_length(&first, "failed"), list_length(&first, "blocked")),
        (&3.into(), 1, 1),
        "{first}"
    );
    let error = first["failed"][0]["reason"].as_str().unwrap();
    for part in ["of `gla` in layer ", " at step ", "hint: lower `distil.optimizer.learning-rate`"] {
        assert!(error.contains(part), "{error}");
    }
    let key = first["failed"][0]["key"].as_str().unwrap();
    let folder = project.cell_folder("distil", key);
    assert!(fs::read_to_string(project.record_path("distil", key)).unwrap().contains("in layer"));
    let num_failures = || {
        let events = project.events("distil").into_iter().filter(|(cell, _)| *cell == folder);
        events.filter(|(_, event)| matches!(event.kind, EventKind::Failed(_))).count()
    };
    assert_eq!(num_failures(), 1);
    let is_in_cell = |path: &PathBuf| path.starts_with(&folder);
    let twins = project.cell_files("distil", "twins.safetensors");
    assert!(!twins.iter().any(is_in_cell), "the diverged twins were kept");

    // The failed cell runs again only with `--retry-failed`. It then fails at the same step.
    let second = project.sweep().arg("--json").exit(1).json();
    assert_eq!((&second["done"], &second["failed"]), (&0.into(), &first["failed"]));
    assert_eq!(num_failures(), 1);
    let third = project.sweep().args(["--json", "--retry-failed"]).exit(1).json();
    assert_eq!(third["failed"], first["failed"]);
    assert_eq!(num_failures(), 2);

    let plan = project.plan().success();
    plan.stdout_contains("runs again with `--retry-failed`").stdout_contains("waits for its twins");
}

#[test]
fn fail_fast_ends_the_sweep_at_the_first_failure() {
    let project = project();
    let first = project.sweep().args(["--json", "--fail-fast"]).exit(1).json();
    // The base is done, and one distillation failed. The second distillation and both searches are skipped.
    assert_eq!(
        (&first["done"], list_length(&first, "failed"), &first["skipped"]),
        (&1.into(), 1, &3.into()),
        "{first}"
    );
    let rest = project.sweep().arg("--json").exit(1).json();
    assert_eq!((&rest["done"], list_length(&rest, "failed")), (&2.into(), 1), "{rest}");
}
