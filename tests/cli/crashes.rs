//! What no process survives: the cell that a worker died of is a failure like others, and the sweep goes on.

use std::fs;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::project::{LONG, MANIFEST, ONE, Project, calm_long, text, wait_until};

/// Addresses that suffice for a step in small parts, and not in one.
const KIBIBYTES: u32 = 1_000_000;

/// The two.
const STEPS: [&str; 6] = [
    "--set",
    "pretrain.batch-size=2048",
    "--set",
    r#"pretrain.token-budget="131072""#,
    "--set",
    r#"sweep.axes."pretrain.micro-batch-size"=[2048, 16]"#,
];

/// Sweeps where the system gives so many addresses and no more.
fn sweep_within(bench: &Project, more: &[&str]) -> Output {
    let mut program = Command::new("sh");
    program.args(["-c", &format!(r#"ulimit -v {KIBIBYTES}; exec "$0" "$@""#), env!("CARGO_BIN_EXE_dtr")]);
    program
        .args(["sweep", MANIFEST, "--json", "--results"])
        .arg(bench.results())
        .args(ONE)
        .args(STEPS)
        .args(more);
    program.env("RAYON_NUM_THREADS", "2").output().unwrap()
}

fn summary(ended: &Output) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", text(&ended.stderr)))
}

/// How often cells of a stage were begun.
fn num_begun(bench: &Project, stage: &str) -> usize {
    bench.happenings(stage).iter().filter(|(_, _, what)| what == "begun").count()
}

#[test]
fn a_cell_that_exhausts_the_memory_is_recorded_and_the_others_go_on() {
    let bench = Project::new();
    let within = |more: &[&str]| sweep_within(&bench, more);
    let ended = within(&[]);
    let (first, said) = (summary(&ended), text(&ended.stderr));
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert_eq!((&first["done"], &first["remembered"]), (&json!(3), &json!(0)), "{said}");
    let failed = first["failed"].as_array().unwrap();
    assert_eq!((failed.len(), first["waiting"].as_array().unwrap().len()), (1, 2), "{first}");
    let error = failed[0][2].as_str().unwrap();
    assert_eq!(failed[0][0], "pretrain tiny pretrain.micro-batch-size=2048");
    let parts =
        ["out of memory: memory allocation of ", " bytes failed; its process ended by SIGABRT, having held "];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert!(said.contains("micro-batch-size=2048: out of memory"), "{said}");
    let explained = bench.happenings("pretrain");
    assert!(explained.iter().any(|(_, _, what)| what["failed"] == error), "its log says why");

    // A failure like others: kept, and done again where that is asked for.
    let ended = within(&[]);
    let second = summary(&ended);
    assert_eq!((ended.status.code(), &second["failed"]), (Some(1), &first["failed"]));
    assert_eq!((&second["done"], &second["remembered"]), (&json!(0), &json!(3)));
    assert_eq!(num_begun(&bench, "pretrain"), 2);
    let ended = within(&["--retry-failed"]);
    assert_eq!((ended.status.code(), &summary(&ended)["done"]), (Some(1), &json!(0)));
    assert_eq!(num_begun(&bench, "pretrain"), 3, "it is tried once");
    let ended = within(&["--retry-failed", "--fail-fast"]);
    assert_eq!((ended.status.code(), &summary(&ended)["left"]), (Some(1), &json!(5)));
    assert_eq!(num_begun(&bench, "pretrain"), 4);
}

#[test]
fn a_cell_that_cannot_fit_says_so_before_it_begins() {
    let bench = Project::new();
    let huge = r#"models.wide.source.pretrain={ hidden-size=65536, intermediate-size=262144, num-layers=128, num-heads=64, num-kv-heads=64, head-dim=1024 }"#;
    let both = r#"sweep.model=["wide", "tiny"]"#;
    let ended = bench.dtr("sweep", &[&["--json"], &ONE[..], &["--set", both, "--set", huge]].concat());
    let failed = &summary(&ended)["failed"];
    assert_eq!(ended.status.code(), Some(1), "{failed}");
    assert!(failed[0][2].as_str().unwrap().starts_with("it needs "), "{failed}");
    assert!(
        failed[0][2].as_str().unwrap().contains("GiB of memory for its weights alone, and this machine has")
    );
    assert_eq!(num_begun(&bench, "pretrain"), 1, "the small one");
}

/// Kills the worker that is at a cell of `stage`, and gives the sweep's end.
fn kill_the_worker(bench: &Project, stage: &str, more: &[&str]) -> Output {
    let sweep = bench
        .command("sweep", &[&["--json"], &LONG[..], more].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let worker = || bench.happenings(stage).iter().find(|(_, _, what)| what == "begun").map(|begun| begun.1);
    wait_until("the cell", || worker().is_some());
    let worker = worker().unwrap();
    assert_ne!(worker, u64::from(sweep.id()), "another process works than the one that was started");
    kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::KILL).unwrap();
    sweep.wait_with_output().unwrap()
}

#[test]
fn a_worker_that_is_killed_is_its_cells_failure_and_its_work_goes_on_when_asked_for() {
    let bench = Project::new();
    let ended = kill_the_worker(&bench, "pretrain", &[]);
    let (told, said) = (summary(&ended), text(&ended.stderr));
    assert_eq!((ended.status.code(), &told["done"]), (Some(1), &json!(0)), "{said}");
    assert_eq!(told["waiting"].as_array().unwrap().len(), 6, "{told}");
    let error = told["failed"][0][2].as_str().unwrap();
    assert!(
        error.starts_with("killed by somebody, or by the system")
            || error.starts_with("out of memory: the system"),
        "{error}"
    );
    assert!(error.contains("its process ended by SIGKILL, having held"), "{error}");
    bench.sweep(&[&LONG[..], &["--retry-failed"]].concat());
    assert!(bench.outcome("small") == *calm_long());
}

#[test]
fn of_cells_side_by_side_none_is_blamed_before_it_was_alone() {
    let bench = Project::new();
    let ended = kill_the_worker(&bench, "distil", &[]);
    let said = text(&ended.stderr);
    assert_eq!((ended.status.code(), &summary(&ended)["done"]), (Some(0), &json!(7)), "{said}");
    assert_eq!(said.matches("others were at work beside it, and now it is done alone").count(), 2, "{said}");
    assert_eq!(num_begun(&bench, "distil"), 4);
    assert!(bench.outcome("small") == *calm_long());
}

#[test]
fn a_worker_that_dies_at_no_cell_ends_the_sweep() {
    let bench = Project::new();
    bench.sweep(&ONE);
    let mut said = String::new();
    // It has little to do, and may come to its end first.
    wait_until("a death", || {
        let mut sweep = bench.start(&ONE);
        let children = format!("/proc/{0}/task/{0}/children", sweep.id());
        wait_until("a worker, or the end", || {
            let worker = fs::read_to_string(&children).unwrap_or_default().trim().parse().ok();
            let worker = worker.and_then(Pid::from_raw);
            worker.is_some_and(|worker| kill_process(worker, Signal::KILL).is_ok())
                || sweep.try_wait().unwrap().is_some()
        });
        let ended = sweep.wait_with_output().unwrap();
        said = text(&ended.stderr);
        ended.status.code() == Some(5)
    });
    assert!(said.contains("the sweep was at no cell when it ended: "), "{said}");
    bench.sweep(&ONE);
}
