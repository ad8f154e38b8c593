//! The cost of a cell that was killed or interrupted is the sum over every process that worked on it.
//!
//! No test asserts how long work takes. Each test compares a record with the times in the cell's log. It also
//! compares the record with the usage (seconds and joules) that an earlier process saved on disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dtr::store::{CellEvent, EventKind};
use jiff::Timestamp;
use serde_json::Value;

use crate::project::{LONG_SEARCHES, ONE_SEARCH, Project, WITH_CHECKPOINTS, wait_until};
use crate::table_columns::{numbers, texts};

/// Settings that slow down the scores of a search, so that a test can kill the search between two scores.
const SLOW_SEARCH: &[&str] = &[
    "models.tiny.source.pretrain.num-layers=8",
    "tasks.recall.source.synthetic.validation-items=512",
    "search.prune=false",
];

/// Length in bytes of the digest before the content of a checkpoint.
const CHECKPOINT_HEADER: usize = 65;

/// Maximum rounding error of the seconds between two events of a log. The log rounds to milliseconds.
const ROUNDING: f64 = 0.005;

/// Returns the seconds that the usage files of a stage's unfinished cells record.
fn saved_seconds(project: &Project, stage: &str) -> f64 {
    let seconds = |path: &Path| {
        let usage: Value = serde_json::from_slice(&fs::read(path).unwrap()[CHECKPOINT_HEADER..]).unwrap();
        ["earlier", "last_process"].map(|part| usage[part]["seconds"].as_f64().unwrap()).iter().sum::<f64>()
    };
    project.cell_files(stage, "usage.json").iter().map(|path| seconds(path)).sum()
}

/// Returns the sum of the seconds that the table `stages` shows for a stage's cells.
fn recorded_seconds(project: &Project, stage: &str) -> f64 {
    let table = project.table("stages");
    let rows = texts(&table, "stage").into_iter().zip(numbers(&table, "seconds"));
    rows.filter(|(name, _)| name == stage).map(|(_, seconds)| seconds).sum()
}

fn events(project: &Project, stage: &str) -> Vec<CellEvent> {
    project.events(stage).into_iter().map(|(_, event)| event).collect()
}

fn seconds_between(start: &CellEvent, end: &CellEvent) -> f64 {
    let [start, end] = [start, end].map(|event| event.at.parse::<Timestamp>().unwrap());
    end.duration_since(start).as_secs_f64()
}

/// Returns the seconds from the `Started` event of the last process to the last event of this process. Leaves
/// out the event `Done`.
fn last_process_seconds(events: &[CellEvent]) -> f64 {
    let process = events.iter().max_by_key(|event| &event.at).unwrap().process;
    let is_before_record = |event: &&CellEvent| event.process == process && event.kind != EventKind::Done;
    let last = events.iter().filter(is_before_record).max_by_key(|event| &event.at).unwrap();
    let is_start = |event: &&CellEvent| event.process == process && event.kind == EventKind::Started;
    seconds_between(events.iter().filter(is_start).min_by_key(|event| &event.at).unwrap(), last)
}

fn is_score(event: &&CellEvent) -> bool {
    matches!(event.kind, EventKind::Scored(_))
}

#[test]
fn a_killed_search_costs_the_time_of_both_processes_in_every_table() {
    let project = Project::with_settings(&[ONE_SEARCH, LONG_SEARCHES, SLOW_SEARCH].concat());
    let sweep = project.sweep().start();
    let num_scores = || events(&project, "search").iter().filter(is_score).count();
    let is_saved = || !project.cell_files("search", "usage.json").is_empty();
    wait_until("nine scores of the search", || num_scores() >= 9 && is_saved());
    sweep.kill();
    let killed = events(&project, "search");
    let saved = saved_seconds(&project, "search");
    // A search records scores in batches of four. Before the search records a batch, it saves its usage. The
    // search leaves out this save if the last save was less than a tenth of a second ago.
    let known = killed.iter().filter(is_score).rev().nth(4).unwrap();
    assert!(saved >= seconds_between(&killed[0], known) - 0.1 - ROUNDING, "{saved}: {killed:?}");

    project.sweep().success();
    let seconds = recorded_seconds(&project, "search");
    let log = events(&project, "search");
    let last_start = log.iter().rfind(|event| event.kind == EventKind::Started).unwrap();
    assert_ne!(last_start.process, killed[0].process);
    let last_score = log.iter().rfind(is_score).unwrap();
    assert!(saved > 0.0 && seconds >= saved + seconds_between(last_start, last_score) - ROUNDING, "{log:?}");

    let cost = project.table("cost");
    let close = |hours: f64, seconds: f64| (hours * 3600.0 - seconds).abs() < 1e-9 * seconds;
    for (stage, column) in [("search", "search_hours"), ("distil", "distil_hours")] {
        let seconds = recorded_seconds(&project, stage);
        assert!(close(numbers(&cost, column)[0], seconds), "{column} of `cost`");
        assert!(
            close(numbers(&project.table("compute_hours"), column)[0], seconds),
            "{column} of `compute_hours`"
        );
    }
    let total: f64 = numbers(&project.table("stages"), "seconds").iter().sum();
    let page = String::from_utf8(project.page()).unwrap();
    assert!(page.contains(&format!("{} seconds", total.round())), "{total}");
}

#[test]
fn a_killed_distillation_costs_the_time_of_both_processes() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    let sweep = project.sweep().start();
    let is_checkpoint = |path: &Path| path.parent().unwrap().ends_with("checkpoint");
    let num_checkpoints = || {
        project.cell_files("distil", "twins.safetensors").iter().filter(|path| is_checkpoint(path)).count()
    };
    wait_until("a checkpoint of both variants", || num_checkpoints() == 2);
    sweep.kill();
    let saved = saved_seconds(&project, "distil");
    project.sweep().success();
    let seconds = recorded_seconds(&project, "distil");
    let last = last_process_seconds(&events(&project, "distil"));
    assert!(saved > 0.0 && seconds >= saved + last - ROUNDING, "{seconds}, {saved}, {last}");
}

/// Starts a sweep, interrupts the sweep during a cell of `stage`, and returns the seconds that the sweep
/// saved on disk.
fn interrupt(project: &Project, stage: &str) -> f64 {
    let sweep = project.sweep().start();
    wait_until("the start of the cell", || project.num_started(stage) > 0);
    std::thread::sleep(Duration::from_millis(500));
    sweep.interrupt();
    sweep.finish().assert_code(130);
    assert!(project.records(stage).is_empty(), "the {stage} cell ended too early");
    saved_seconds(project, stage)
}

#[test]
fn an_interrupted_pretraining_costs_the_time_of_both_processes() {
    let project = Project::with_settings(&[ONE_SEARCH, WITH_CHECKPOINTS].concat());
    let saved = interrupt(&project, "pretrain");
    project.sweep().success();
    let seconds = recorded_seconds(&project, "pretrain");
    let last = last_process_seconds(&events(&project, "pretrain"));
    assert!(saved > 0.4 && seconds >= saved + last - ROUNDING, "{seconds}, {saved}, {last}");
}

#[test]
fn an_interrupted_timing_costs_the_time_of_both_processes_although_it_begins_again() {
    let settings = [
        "throughput.contexts=[64]",
        "throughput.batch-sizes=[1]",
        "throughput.new-tokens=512",
        "throughput.repeats=50",
        "sweep.task=[]",
        "sweep.variant=[]",
    ];
    let project = Project::with_settings(&settings);
    let saved = interrupt(&project, "throughput");
    project.sweep().success();
    let record = fs::read_to_string(&project.records("throughput")[0]).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let runs = record["body"]["outcome"]["done"]["runs"].as_array().unwrap();
    let timed: f64 =
        runs.iter().map(|run| run["prefill"].as_f64().unwrap() + run["decode"].as_f64().unwrap()).sum();
    let seconds = recorded_seconds(&project, "throughput");
    assert!(timed > 0.0 && saved > 0.4 && seconds >= saved + timed, "{seconds}, {saved}, {timed}");
}

#[test]
fn a_search_that_runs_again_for_a_lost_score_keeps_its_cost() {
    let project = Project::finished(ONE_SEARCH).copy();
    let before = recorded_seconds(&project, "search");
    let test_scores = project.table("items");
    let key = texts(&test_scores, "cell_key").remove(0);
    fs::remove_file(project.record_path("score", &key)).unwrap();
    project.sweep().success();
    assert_eq!(project.num_started("search"), 2);
    assert!(recorded_seconds(&project, "search") > before);
}
