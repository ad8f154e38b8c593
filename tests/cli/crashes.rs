//! A cell that crashes the worker process is recorded as failed, and the sweep goes on with other cells.

use std::fs;

use dtr::store::EventKind;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::dtr_command::DtrOutput;
use crate::project::{ONE_SEARCH, Project, WITH_CHECKPOINTS, wait_until};

/// An address space in KiB that suffices for micro-batches of 16 sequences, but not for micro-batches of
/// 2048.
const ADDRESS_SPACE: u32 = 1_000_000;

/// Settings that train two bases: one in micro-batches of 2048, and one in micro-batches of 16.
const MICRO_BATCHES: &[&str] = &[
    "pretrain.batch-size=2048",
    r#"pretrain.token-budget="131072""#,
    r#"sweep.axes."pretrain.micro-batch-size"=[2048, 16]"#,
];

fn list_length(summary: &Value, list: &str) -> usize {
    summary[list].as_array().unwrap().len()
}

#[test]
fn a_cell_that_exhausts_the_memory_is_recorded_and_other_cells_run() {
    let project = Project::with_settings(&[ONE_SEARCH, MICRO_BATCHES].concat());
    let sweep = |options: &[&str]| {
        let sweep = project.sweep().arg("--json").args(options).env("RAYON_NUM_THREADS", "2");
        sweep.with_address_space(ADDRESS_SPACE).exit(1)
    };
    let output = sweep(&[]);
    let first = output.json();
    assert_eq!((&first["done"], &first["cached"]), (&json!(3), &json!(0)), "{output:?}");
    assert_eq!((list_length(&first, "failed"), list_length(&first, "blocked")), (1, 2), "{first}");
    assert_eq!(first["failed"][0]["cell"], "pretrain tiny pretrain.micro-batch-size=2048");
    let error = first["failed"][0]["reason"].as_str().unwrap();
    for part in
        ["out of memory: memory allocation of ", " bytes failed; signal SIGABRT; its peak memory was "]
    {
        assert!(error.contains(part), "{error}");
    }
    output.stderr_contains("micro-batch-size=2048: out of memory");
    let is_logged = |kind: &EventKind| matches!(kind, EventKind::Failed(logged) if logged == error);
    assert!(project.events("pretrain").iter().any(|(_, event)| is_logged(&event.kind)));

    // The failure is cached, and the cell runs again only with `--retry-failed`.
    let second = sweep(&[]).json();
    assert_eq!(second["failed"], first["failed"]);
    assert_eq!((&second["done"], &second["cached"]), (&json!(0), &json!(3)));
    assert_eq!(project.num_started("pretrain"), 2);
    assert_eq!(sweep(&["--retry-failed"]).json()["done"], 0);
    assert_eq!(project.num_started("pretrain"), 3, "the sweep tried the failed cell again");
    assert_eq!(sweep(&["--retry-failed", "--fail-fast"]).json()["skipped"], 5);
    assert_eq!(project.num_started("pretrain"), 4);
}

#[test]
fn a_cell_that_cannot_fit_in_memory_fails_before_it_starts() {
    let project = Project::with_settings(ONE_SEARCH);
    let huge = r#"models.wide.source.pretrain={ hidden-size=65536, intermediate-size=262144, num-layers=128, num-heads=64, num-kv-heads=64, head-dim=1024 }"#;
    let sweep = project.sweep().arg("--json").set(r#"sweep.model=["wide", "tiny"]"#).set(huge);
    let summary = sweep.exit(1).json();
    let error = summary["failed"][0]["reason"].as_str().unwrap();
    assert!(error.starts_with("it needs "), "{error}");
    assert!(error.contains("GiB of memory for its weights alone, and this machine has"), "{error}");
    assert_eq!(project.num_started("pretrain"), 1, "the wide base was started");
}

/// Starts a sweep, kills the worker while the worker computes a cell of `stage`, and returns the output of
/// the sweep.
fn sweep_and_kill_worker(project: &Project, stage: &str) -> DtrOutput {
    let sweep = project.sweep().arg("--json").start();
    let is_started = |kind: &EventKind| *kind == EventKind::Started;
    let worker = || {
        let events = project.events(stage).into_iter();
        events.map(|(_, event)| event).find(|event| is_started(&event.kind)).map(|event| event.process)
    };
    wait_until("the start of the cell", || worker().is_some());
    let worker = worker().unwrap();
    assert_ne!(worker, sweep.id(), "the first process of the sweep ran the cell itself");
    kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::KILL).unwrap();
    sweep.finish()
}

#[test]
fn the_cell_of_a_killed_worker_fails_and_resumes_when_retried() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    let output = sweep_and_kill_worker(&project, "pretrain");
    output.assert_code(1);
    let summary = output.json();
    assert_eq!((&summary["done"], list_length(&summary, "blocked")), (&json!(0), 6), "{summary}");
    let error = summary["failed"][0]["reason"].as_str().unwrap();
    let causes = ["killed by a user, or by the system", "out of memory: the system"];
    assert!(causes.iter().any(|cause| error.starts_with(cause)), "{error}");
    assert!(error.contains("signal SIGKILL; its peak memory was"), "{error}");
    project.sweep().arg("--retry-failed").success();
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
}

#[test]
fn cells_that_ran_together_run_alone_after_a_crash() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    let output = sweep_and_kill_worker(&project, "distil");
    output.assert_code(0);
    assert_eq!(output.json()["done"], 7);
    let stderr = output.stderr();
    let num_alone = stderr.matches("other cells ran at the same time, so the cell now runs alone").count();
    assert_eq!(num_alone, 2, "{stderr}");
    assert_eq!(project.num_started("distil"), 4);
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
}

#[test]
fn a_worker_that_dies_between_cells_ends_the_sweep() {
    let project = Project::finished(ONE_SEARCH).copy();
    let mut stderr = String::new();
    // The worker ends soon. If it ends before the test can kill it, the test tries again.
    wait_until("the death of a worker", || {
        let mut sweep = project.sweep().start();
        let children = format!("/proc/{0}/task/{0}/children", sweep.id());
        wait_until("a worker, or the end of the sweep", || {
            let worker = fs::read_to_string(&children).unwrap_or_default().trim().parse().ok();
            let worker = worker.and_then(Pid::from_raw);
            worker.is_some_and(|worker| kill_process(worker, Signal::KILL).is_ok()) || sweep.has_ended()
        });
        let output = sweep.finish();
        stderr = output.stderr();
        output.code() == Some(5)
    });
    assert!(stderr.contains("the sweep crashed while it ran no cell: "), "{stderr}");
    project.sweep().success();
}
