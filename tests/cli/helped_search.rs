//! A process without work of its own helps with a search that another process runs.

use serde_json::Value;

use crate::dtr_command::RunningDtr;
use crate::project::{Project, wait_until};
use crate::skipped::report_skipped;

/// Settings for one search with so many items that a candidate takes seconds.
const LONG: &[&str] = &[
    r#"sweep.variant=["gla"]"#,
    r#"sweep.task=["recall"]"#,
    r#"tasks.recall.source={ synthetic = { kind = "recall", validation-items = 20000, test-items = 8 } }"#,
];

fn finish(mut sweep: RunningDtr) -> String {
    wait_until("the end of a sweep", || sweep.has_ended());
    let output = sweep.finish();
    output.assert_code(0);
    output.stderr()
}

/// Returns the attempts that computed the records of a stage.
fn attempts(project: &Project, stage: &str) -> Vec<Value> {
    let records = project.records(stage).into_iter();
    let parsed = records.map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap());
    parsed.map(|record| record["body"]["attempt"].clone()).collect()
}

#[test]
fn an_idle_process_helps_a_long_search_and_changes_no_result() {
    let (alone, helped) = (Project::with_settings(LONG), Project::with_settings(LONG));
    alone.sweep().success();
    helped.sweep().args(["--only", "pretrain", "--only", "distil"]).success();
    let sweeps = [(); 2].map(|()| helped.sweep().start());
    let messages = sweeps.map(finish).concat();
    assert!(helped.comparable_outputs() == alone.comparable_outputs());

    let search = attempts(&helped, "search");
    let of_helper =
        attempts(&helped, "score").into_iter().filter(|attempt| !search.contains(attempt)).count();
    if of_helper == 0 {
        // A search opens its rounds only if a candidate takes two seconds, and a helper may come too late.
        report_skipped("this machine is too fast or too busy for one process to help the other");
        return;
    }
    assert!(messages.contains("helps the process that runs it"), "{messages}");
    // The files through which the processes worked together are gone.
    assert!(helped.cell_files("search", "round.json").is_empty());
    helped.command("verify").args(["--sample", "0"]).success();
}
