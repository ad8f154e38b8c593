//! `dtr sweep --workers N` runs scores and searches in several processes.

use std::collections::BTreeSet;

use dtr::store::EventKind;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::concurrency::check_cells_were_computed_once;
use crate::dtr_command::{DtrCommand, DtrOutput, RunningDtr};
use crate::project::{Project, wait_until};

/// Settings whose four searches run for seconds, so that a test can kill the process of a search.
const SLOW_SEARCHES: &[&str] = &[
    "search.stop={ max-relative-drop = 0.5 }",
    r#"tasks.recall.source={ synthetic = { kind = "recall", validation-items = 400, test-items = 32 } }"#,
    r#"tasks.facts.source={ synthetic = { kind = "recall", validation-items = 380, test-items = 32 } }"#,
];

fn sweep_in_two(project: &Project) -> DtrCommand {
    project.sweep().args(["--workers", "2"])
}

/// Returns the ids of all processes that have started a search.
fn searching_processes(project: &Project) -> BTreeSet<u32> {
    let events = project.events("search").into_iter().map(|(_, event)| event);
    events.filter(|event| event.kind == EventKind::Started).map(|event| event.process).collect()
}

/// Starts a sweep with two workers, and waits until each worker has started a search. Returns the sweep and
/// the ids of the workers.
fn start_searches(project: &Project) -> (RunningDtr, BTreeSet<u32>) {
    let mut sweep = sweep_in_two(project).arg("--json").start();
    let has_two = || searching_processes(project).len() == 2;
    wait_until("a search in each worker, or the end of the sweep", || has_two() || sweep.has_ended());
    let workers = searching_processes(project);
    assert_eq!(workers.len(), 2, "not both workers started a search");
    (sweep, workers)
}

fn kill(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal).unwrap();
}

/// Returns the numbers of done, cached, failed, blocked and skipped cells in a sweep's summary.
fn counts(output: &DtrOutput) -> Value {
    let summary = output.json();
    let length = |list: &str| summary[list].as_array().unwrap().len();
    json!([summary["done"], summary["cached"], length("failed"), length("blocked"), summary["skipped"]])
}

#[test]
fn two_workers_compute_every_cell_once_and_write_the_same_bytes() {
    let project = Project::new();
    let output = sweep_in_two(&project).arg("--json").success();
    assert_eq!(counts(&output), json!([7, 0, 0, 0, 0]));
    check_cells_were_computed_once(&project);
    let stderr = output.stderr();
    assert_eq!(stderr.lines().filter(|line| line.starts_with("done  ")).count(), 7, "{stderr}");
    assert_eq!(stderr.matches("2 workers run 4 cells side by side, each in at most ").count(), 1, "{stderr}");
    let trained: Vec<u32> =
        project.events("pretrain").iter().chain(&project.events("distil")).map(|(_, e)| e.process).collect();
    assert!(trained.iter().all(|process| *process == trained[0]), "several processes trained");
    assert!(!searching_processes(&project).contains(&trained[0]), "the process that trained also searched");
    assert!(
        project.comparable_outputs() == Project::finished(&[]).comparable_outputs(),
        "the outputs differ"
    );

    let repeated = sweep_in_two(&project).arg("--json").success();
    assert_eq!(counts(&repeated), json!([0, 7, 0, 0, 0]));
    assert!(!repeated.stderr().contains("side by side"), "the repeated sweep started workers");
}

#[test]
fn the_cell_of_a_killed_worker_fails_and_the_other_worker_goes_on() {
    let project = Project::with_settings(SLOW_SEARCHES);
    let (sweep, workers) = start_searches(&project);
    kill(*workers.first().unwrap(), Signal::KILL);
    let output = sweep.finish();
    output.assert_code(1);
    assert_eq!(counts(&output), json!([6, 0, 1, 0, 0]), "{output:?}");
    let stderr = output.stderr();
    assert_eq!(stderr.matches("signal SIGKILL; its peak memory was").count(), 1, "{stderr}");
    assert_eq!(project.num_started("search"), 4, "the sweep tried the failed cell again");

    assert_eq!(counts(&sweep_in_two(&project).arg("--json").exit(1)), json!([0, 6, 1, 0, 0]));
    let retried = sweep_in_two(&project).args(["--json", "--retry-failed"]).success();
    assert_eq!(counts(&retried), json!([1, 6, 0, 0, 0]));
    assert!(project.comparable_outputs() == Project::finished(SLOW_SEARCHES).comparable_outputs());
}

#[test]
fn ctrl_c_stops_all_workers_and_the_same_command_resumes() {
    let project = Project::with_settings(SLOW_SEARCHES);
    let (sweep, workers) = start_searches(&project);
    sweep.interrupt();
    let output = sweep.finish();
    output.assert_code(130);
    let stderr = output.stderr();
    assert_eq!(stderr.matches("interrupted").count(), 1, "{stderr}");
    assert!(stderr.contains("run the same command again to resume"), "{stderr}");
    let is_alive = |process: &u32| std::path::Path::new(&format!("/proc/{process}")).exists();
    assert!(!workers.iter().any(is_alive), "a worker is still running");
    let num_stopped = project.events("search").iter().filter(|(_, e)| e.kind == EventKind::Stopped).count();
    assert_eq!(num_stopped, 2, "not both searches were stopped");
    sweep_in_two(&project).success();
    assert!(project.comparable_outputs() == Project::finished(SLOW_SEARCHES).comparable_outputs());
}

#[test]
fn a_worker_that_a_user_ends_stops_the_sweep() {
    let project = Project::with_settings(SLOW_SEARCHES);
    let (sweep, workers) = start_searches(&project);
    kill(*workers.last().unwrap(), Signal::TERM);
    let output = sweep.finish();
    output.assert_code(130);
    assert_eq!(output.stderr().matches("interrupted").count(), 1, "{output:?}");
}

#[test]
fn no_workers_start_for_one_worker_or_after_a_fatal_failure() {
    let project = Project::new();
    let alone = project.sweep().args(["--workers", "1"]).success();
    assert!(!alone.stderr().contains("side by side"));
    let failing = Project::with_settings(&[r#"sweep.variant=["gla"]"#, "distil.optimizer.learning-rate=10"]);
    let output = sweep_in_two(&failing).args(["--json", "--fail-fast"]).exit(1);
    assert_eq!(counts(&output), json!([1, 0, 1, 0, 2]), "{output:?}");
    assert!(!output.stderr().contains("side by side"));
    DtrCommand::new("sweep").args(["x.toml", "--workers", "0"]).exit(2).stderr_contains("--workers");
}

#[test]
fn a_plan_says_how_many_workers_a_sweep_would_use() {
    let project = Project::new();
    project.plan().success().stdout_contains("workers      1, each of about ");
    let plan = project.plan().args(["--workers", "9"]).success();
    plan.stdout_contains("workers      4, each of about ");
    let plan = project.plan().args(["--workers", "2"]).json();
    assert_eq!(plan["workers"]["count"], 2);
    assert!(plan["workers"]["memory_limit"].as_u64() > plan["workers"]["peak_bytes"].as_u64(), "{plan}");
    assert_eq!(Project::finished(&[]).plan().json()["workers"], Value::Null);
}
