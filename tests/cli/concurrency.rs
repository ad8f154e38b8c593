//! Several processes share a results folder. Each cell is computed once, and the tables do not change.

use std::collections::BTreeMap;
use std::fs;

use dtr::store::EventKind;

use crate::project::{Project, wait_until};

/// Settings that differ from the small manifest in the order of variants and in the threshold. A sweep with
/// these settings shares twins and most scores with a sweep of the small manifest.
pub const STRICTER_STOP: &[&str] =
    &[r#"name="stricter""#, r#"sweep.variant=["gdn", "gla"]"#, "search.stop={ max-relative-drop = 0.5 }"];

/// Settings that differ from the small manifest only in the threshold. A sweep with these settings and a
/// sweep of the small manifest therefore need the same scores at the same time.
const LOOSER_STOP: &[&str] = &[r#"name="looser""#, "search.stop={ max-relative-drop = 0.6 }"];

/// Runs a sweep for each list of settings, all at the same time, and returns the total number of computed
/// cells.
fn sweep_together(project: &Project, experiments: &[&[&str]]) -> u64 {
    let start = |settings: &&[&str]| project.sweep().arg("--json").sets(settings).start();
    let sweeps: Vec<_> = experiments.iter().map(start).collect();
    let finish = |mut sweep: crate::dtr_command::RunningDtr| {
        wait_until("the end of a sweep", || sweep.has_ended());
        let output = sweep.finish();
        output.assert_code(0);
        output.json()["done"].as_u64().unwrap()
    };
    sweeps.into_iter().map(finish).sum()
}

/// Checks that each cell was computed once. Score cells are counted in the logs of the searches that computed
/// these scores.
pub fn check_cells_were_computed_once(project: &Project) {
    let mut num_scored = BTreeMap::new();
    for stage in ["pretrain", "distil", "search"] {
        let mut counts: BTreeMap<_, [usize; 2]> = BTreeMap::new();
        for (folder, event) in project.events(stage) {
            let [num_started, num_done] = counts.entry(folder).or_default();
            match event.kind {
                EventKind::Started => *num_started += 1,
                EventKind::Done => *num_done += 1,
                EventKind::Scored(score) => *num_scored.entry(score.to_string()).or_insert(0) += 1,
                _ => {}
            }
        }
        assert!(counts.values().all(|count| *count == [1, 1]), "{counts:?}");
    }
    assert!(num_scored.values().all(|count| *count == 1), "{num_scored:?}");
    assert_eq!(num_scored.len(), project.num_records("score"));
}

#[test]
fn several_processes_compute_every_cell_once_and_write_the_same_tables() {
    let (serial, concurrent) = (Project::finished(&[]).copy(), Project::new());
    serial.sweep().sets(STRICTER_STOP).success();
    serial.sweep().sets(LOOSER_STOP).success();
    let num_done = sweep_together(&concurrent, &[&[], STRICTER_STOP, &[], LOOSER_STOP]);
    // The sweeps compute one base and two distillations. Each of the three experiments has four searches: two
    // tasks with two variants each.
    assert_eq!(num_done, 1 + 2 + 3 * 4);
    check_cells_were_computed_once(&concurrent);

    for name in ["small", "stricter", "looser"] {
        assert!(
            concurrent.comparable_outputs_of(name) == serial.comparable_outputs_of(name),
            "{name}: the outputs differ"
        );
    }
    for (stage, artifact) in [("pretrain", "model.safetensors"), ("distil", "twins.safetensors")] {
        let bytes = |project: &Project| -> Vec<Vec<u8>> {
            let files = project.cell_files(stage, artifact);
            files.into_iter().map(|path| fs::read(path).unwrap()).collect()
        };
        assert!(bytes(&concurrent) == bytes(&serial), "{artifact} differs");
    }
    concurrent.command("verify").args(["--sample", "0"]).success();
}
