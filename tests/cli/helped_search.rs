//! A process without work of its own helps with a search that another process runs.

use std::fs::{self, File};

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

#[test]
fn an_idle_process_helps_a_long_search_and_changes_no_result() {
    let (alone, helped) = (Project::with_settings(LONG), Project::with_settings(LONG));
    alone.sweep().success();
    helped.sweep().args(["--only", "pretrain", "--only", "distil"]).success();
    let sweeps = [(); 2].map(|()| helped.sweep().start());
    let messages = sweeps.map(finish).concat();
    assert!(helped.comparable_outputs() == alone.comparable_outputs());

    if !messages.contains("parts for another process") {
        // A search lets others help only if a candidate takes two seconds, and a helper may come too late.
        report_skipped("this machine is too fast or too busy for one process to help the other");
        return;
    }
    // The files through which the processes worked together are gone.
    assert!(helped.cell_files("search", "group.json").is_empty());
    helped.command("verify").args(["--sample", "0"]).success();
}

/// Claims a part of a group of a running search, as a helper that dies afterwards. Returns whether a group
/// was there.
fn claim_last_part(project: &Project) -> bool {
    let Some(path) = project.cell_files("search", "group.json").pop() else { return false };
    let Ok(text) = fs::read_to_string(&path) else { return false };
    // The first line is a digest.
    let Some((_, json)) = text.split_once('\n') else { return false };
    let group: Value = serde_json::from_str(json).unwrap();
    let (name, num_parts) = (group["name"].as_str().unwrap(), group["num_parts"].as_u64().unwrap());
    File::create_new(path.with_file_name(format!("part-{name}-{}.claim", num_parts - 1))).is_ok()
}

#[test]
fn a_search_scores_a_part_itself_if_the_helper_that_claimed_it_dies() {
    let (alone, helped) = (Project::with_settings(LONG), Project::with_settings(LONG));
    alone.sweep().success();
    let mut sweep = helped.sweep().start();
    let mut num_claimed = 0;
    wait_until("the end of a sweep", || {
        num_claimed += usize::from(num_claimed < 2 && claim_last_part(&helped));
        sweep.has_ended()
    });
    sweep.finish().assert_code(0);
    assert!(helped.comparable_outputs() == alone.comparable_outputs());
    if num_claimed == 0 {
        report_skipped("this machine is too fast for a search that lets others help");
    }
}
