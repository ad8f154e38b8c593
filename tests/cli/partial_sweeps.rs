//! `dtr sweep --only` runs the cells of a stage, or of a stage and a base.

use serde_json::{Value, json};

use crate::project::{ONE_SEARCH, Project};

/// Runs the cells that match `filters`, and returns the summary.
fn sweep_only(project: &Project, filters: &[&str]) -> Value {
    filters.iter().fold(project.sweep(), |sweep, filter| sweep.args(["--only", filter])).json()
}

#[test]
fn the_stages_of_a_sweep_run_one_by_one_and_give_the_same_tables() {
    let project = Project::new();
    for (filters, count) in [
        (&["pretrain:tiny"][..], 1),
        (&["distil:tiny"], 2),
        (&["distil", "search:tiny"], 4),
        (&["search"], 0),
    ] {
        let summary = sweep_only(&project, filters);
        assert_eq!((&summary["done"], &summary["paths"]), (&json!(count), &json!([])), "{filters:?}");
    }
    assert!(!project.results().join("tables").exists(), "a part of a sweep wrote tables");
    project.command("report").success();
    assert!(
        project.comparable_outputs() == Project::finished(&[]).comparable_outputs(),
        "the outputs differ"
    );
}

#[test]
fn two_workers_run_the_selected_cells_only() {
    let project = Project::new();
    sweep_only(&project, &["pretrain", "distil"]);
    assert_eq!(project.num_records("search"), 0, "a cell that was not selected ran");
    let output = project.sweep().args(["--only", "search", "--workers", "2", "--json"]).success();
    let summary = output.json();
    assert_eq!((&summary["done"], &summary["cached"]), (&json!(4), &json!(0)), "{summary}");
    output.stderr_contains("2 workers run 4 cells side by side");
    assert!(!project.results().join("tables").exists(), "a part of a sweep wrote tables");
}

#[test]
fn a_selected_cell_waits_for_results_that_it_reads() {
    let project = Project::with_settings(ONE_SEARCH);
    let output = project.sweep().args(["--only", "distil", "--json"]).exit(3);
    let blocked = &output.json()["blocked"];
    assert_eq!(blocked.as_array().map(Vec::len), Some(1));
    assert!(blocked[0]["reason"].as_str().unwrap().contains("has no result"), "{blocked}");
    assert_eq!(project.num_records("distil"), 0, "a blocked cell has a record");
}

#[test]
fn a_part_that_the_experiment_does_not_have_is_refused() {
    let project = Project::with_settings(ONE_SEARCH);
    let output = project.sweep().args(["--only", "search:huge"]).exit(2);
    assert!(output.message().contains("cannot select `search:huge`: it matches no cell"), "{output:?}");
    project.sweep().args(["--only", "train"]).exit(2).stderr_contains("`train` is not one of the stages");
}
