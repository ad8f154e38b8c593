//! A failure is a result: recorded with its cause, told, and not in the way of the others.

use std::fs;

use crate::project::{ONE, Project, text};

/// Beside a rate that learns, one at which nothing can.
const RATES: [&str; 2] = ["--set", r#"sweep.axes."distil.optimizer.learning-rate"=[10, 2e-3]"#];

fn sweep(bench: &Project, more: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let ended = bench.dtr("sweep", &[&["--json"][..], &ONE, &RATES, more].concat());
    let summary = serde_json::from_slice(&ended.stdout).unwrap_or_default();
    (ended.status.code(), summary, text(&ended.stderr))
}

fn count(summary: &serde_json::Value, what: &str) -> usize {
    summary[what].as_array().unwrap().len()
}

#[test]
fn what_diverges_is_recorded_with_layer_and_variant_and_the_others_go_on() {
    let bench = Project::new();
    let (code, first, said) = sweep(&bench, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        (&first["done"], count(&first, "failed"), count(&first, "waiting")),
        (&3.into(), 1, 1),
        "{said}"
    );
    let error = first["failed"][0][2].as_str().unwrap();
    let parts = ["of `gla` in layer ", " at step ", "hint: lower `distil.optimizer.learning-rate`"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    let key = first["failed"][0][1].as_str().unwrap();
    let folder = bench.results().join(format!("cells-v1/distil/{}/{key}", &key[..2]));
    assert!(fs::read_to_string(folder.join("record.json")).unwrap().contains("in layer"));
    assert!(fs::read_to_string(folder.join("events.jsonl")).unwrap().contains("\"failed\""));
    assert!(!folder.join("twins.safetensors").exists(), "what is spoilt is not kept");

    // Nothing of it is done again unless that is asked for; then it fails again, at the same step.
    let (code, second, said) = sweep(&bench, &[]);
    assert_eq!((code, &second["done"], &second["failed"]), (Some(1), &0.into(), &first["failed"]), "{said}");
    let failures = || fs::read_to_string(folder.join("events.jsonl")).unwrap().matches("\"failed\"").count();
    assert_eq!(failures(), 1);
    let (code, third, _) = sweep(&bench, &["--retry-failed"]);
    assert_eq!((code, &third["failed"]), (Some(1), &first["failed"]));
    assert_eq!(failures(), 2);

    let plan = text(&bench.dtr("plan", &[&ONE[..], &RATES].concat()).stdout);
    assert!(
        plan.contains("runs again with `--retry-failed`") && plan.contains("waits for its twins"),
        "{plan}"
    );
}

#[test]
fn the_first_failure_ends_the_run_where_that_is_asked_for() {
    let bench = Project::new();
    let (code, summary, said) = sweep(&bench, &["--fail-fast"]);
    assert_eq!(code, Some(1), "{said}");
    // The base is done; the twins at the other rate, and both searches, are left.
    assert_eq!(
        (&summary["done"], count(&summary, "failed"), &summary["left"]),
        (&1.into(), 1, &3.into()),
        "{said}"
    );
    let (_, rest, said) = sweep(&bench, &[]);
    assert_eq!((&rest["done"], count(&rest, "failed")), (&2.into(), 1), "{said}");
}
