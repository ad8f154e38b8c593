//! `dtr sweep` prints a summary and computes nothing twice.

use crate::project::Project;

#[test]
fn a_repeated_sweep_computes_nothing_and_writes_the_same_bytes() {
    let project = Project::new();
    let first = project.sweep().success();
    first.stdout_contains("recall").stdout_contains("gdn").stdout_contains("searches.parquet");
    let (outputs, page, num_started) =
        (project.comparable_outputs(), project.page(), project.num_started(""));

    let second = project.sweep().json();
    assert_eq!((&second["done"], &second["cached"]), (&0.into(), &7.into()));
    assert_eq!(project.num_started(""), num_started, "a cell was started again");
    assert!(project.comparable_outputs() == outputs, "the tables or figures differ");
    assert!(project.page() == page, "the page differs");
}

#[test]
fn the_cost_table_adds_up_distillation_and_search() {
    let cost = Project::finished(&[]).table("cost");
    let hours =
        |name: &str| -> Vec<f64> { cost.column(name).unwrap().f64().unwrap().into_no_null_iter().collect() };
    let (distil, search, total) = (hours("distil_hours"), hours("search_hours"), hours("total_hours"));
    assert_eq!(total.len(), 4, "the table does not have a row for each search");
    for row in 0..4 {
        assert!(distil[row] > 0.0 && search[row] > 0.0);
        assert_eq!(total[row], distil[row] + search[row]);
    }
    assert_eq!(cost.column("pretrain_hours").unwrap().null_count(), 0, "`pretrain_hours` lacks a value");
}

#[test]
fn report_settings_recompute_nothing() {
    let project = Project::finished(&[]).copy();
    assert_eq!(project.sweep().set("report.confidence=0.9").json()["done"], 0);
}

#[test]
fn another_threshold_searches_again_over_cached_scores() {
    let project = Project::finished(&[]).copy();
    let num_scores = project.num_records("score");
    let summary = project.sweep().set("search.stop={ max-relative-drop = 0.01 }").json();
    assert_eq!(summary["done"], 4);
    // Each of the four searches adds at most two scores: the test scores of its hybrids `M_best` and `M_opt`.
    let num_added = project.num_records("score") - num_scores;
    assert!(num_added <= 8, "a stricter threshold scored {num_added} masks anew");
}

#[test]
fn another_task_reuses_the_twins() {
    let project = Project::finished(&[]);
    let plan = project.plan().set(r#"sweep.task=["recall", "facts", "topic"]"#).json();
    assert_eq!(plan["to-do"]["cells"], serde_json::json!({ "search": 2 }));
    // The search of each of the two variants scores the base, the candidates of four rounds, and three masks
    // on the test split. The first round has four candidates. Each later round has one candidate less than
    // the previous round.
    assert_eq!(plan["to-do"]["max_evaluations"], 2 * (1 + 4 + 3 + 2 + 1 + 3));
}

#[test]
fn an_unknown_manifest_key_ends_a_sweep_before_it_runs() {
    let project = Project::new();
    project.sweep().set("distil.tokn-budget=5").exit(2).stderr_contains("token-budget");
    assert!(!project.results().exists());
}
