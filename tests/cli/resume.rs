//! Killed and interrupted sweeps: the same command resumes, and the outputs do not change.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use dtr::store::EventKind;
use dtr_core::seed::Seed;
use rand::RngExt;
use rustix::process::Signal;

use crate::project::{Project, WITH_CHECKPOINTS, wait_until};

/// The stages in which a sweep can be killed.
const KILLED_STAGES: [&str; 3] = ["pretrain", "distil", "search"];

/// The number of kills, by the stage of the cell that was running.
type KillCounts = BTreeMap<&'static str, usize>;

/// Returns the stage of the cell that was running when the sweep was killed, or `between cells`.
fn killed_stage(project: &Project) -> &'static str {
    let has_killed = |stage: &str| {
        let events: BTreeMap<_, _> = project.events(stage).into_iter().collect();
        events.values().any(|last| last.kind != EventKind::Done)
    };
    KILLED_STAGES.into_iter().find(|stage| has_killed(stage)).unwrap_or("between cells")
}

/// Returns whether a process works on a cell of the project.
fn is_running(project: &Project) -> bool {
    let status = project.command("status").json();
    status["stages"].as_array().unwrap().iter().any(|stage| stage["running"] != 0)
}

/// Kills sweeps at random moments, `num_kills` times in all. Resumes each sweep until it is done.
fn kill_sweeps(num_kills: usize, seed: u32) -> KillCounts {
    let expected = Project::finished(WITH_CHECKPOINTS).comparable_outputs();
    let mut rng = Seed(seed).rng();
    let mut kills = KillCounts::new();
    while kills.values().sum::<usize>() < num_kills {
        let project = Project::with_settings(WITH_CHECKPOINTS);
        while kills.values().sum::<usize>() < num_kills {
            let mut sweep = project.sweep().start();
            let moment = Instant::now() + Duration::from_millis(rng.random_range(20..2500));
            while Instant::now() < moment && !sweep.has_ended() {
                std::thread::sleep(Duration::from_millis(2));
            }
            if sweep.has_ended() {
                break;
            }
            sweep.kill();
            *kills.entry(killed_stage(&project)).or_default() += 1;
            wait_until("the release of the killed sweep's claims", || !is_running(&project));
        }
        project.sweep().success();
        assert!(project.comparable_outputs() == expected, "the tables or figures differ");
        let is_temporary = |path: &Path| path.to_string_lossy().contains(".dtr-tmp-");
        assert!(project.files("").iter().all(|path| !is_temporary(path)));
    }
    kills
}

#[test]
fn a_sweep_that_is_killed_at_random_moments_ends_with_the_same_outputs() {
    assert_eq!(kill_sweeps(8, 0).values().sum::<usize>(), 8);
}

#[test]
#[ignore = "takes minutes; run it with `just kill-test`"]
fn a_hundred_kills_change_no_output() {
    let kills = kill_sweeps(100, 1);
    assert!(KILLED_STAGES.iter().all(|stage| kills.contains_key(stage)), "{kills:?}");
}

fn is_in_checkpoint(path: &Path) -> bool {
    path.parent().unwrap().ends_with("checkpoint")
}

#[test]
fn a_killed_cell_resumes_from_its_checkpoint() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    for (stage, checkpoint) in [("pretrain", "base.safetensors"), ("distil", "twins.safetensors")] {
        let sweep = project.sweep().start();
        let files = || project.cell_files(stage, checkpoint);
        wait_until("a checkpoint", || files().iter().any(|path| is_in_checkpoint(path)));
        sweep.kill();
    }
    project.sweep().success();
    for stage in ["pretrain", "distil"] {
        let messages = project.messages(stage);
        assert!(messages.iter().any(|line| line.contains("resumes after step")), "{messages:?}");
        assert!(messages.iter().any(|line| line.contains("was killed or ran out of memory")), "{messages:?}");
    }
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
    assert!(!project.files("").iter().any(|path| is_in_checkpoint(path)), "a checkpoint was not removed");
}

#[test]
fn ctrl_c_saves_a_checkpoint_and_the_same_command_resumes() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    for stage in ["pretrain", "distil"] {
        let sweep = project.sweep().start();
        wait_until("the start of the cell", || project.num_started(stage) > 0);
        std::thread::sleep(Duration::from_millis(300));
        sweep.interrupt();
        let output = sweep.finish();
        output.assert_code(130);
        output.stderr_contains("run the same command again to resume");
        assert!(project.events(stage).iter().any(|(_, event)| event.kind == EventKind::Stopped));
    }
    project.sweep().success();
    let messages = [project.messages("pretrain"), project.messages("distil")].concat();
    assert!(messages.iter().any(|line| line.contains("resumes after step")), "{messages:?}");
    assert!(!messages.iter().any(|line| line.contains("was killed or ran out of memory")), "{messages:?}");
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
}

/// The test imitates Slurm, which sends the signal twice within 20 ms to the sweep and to its workers.
#[test]
fn a_sweep_that_is_terminated_twice_saves_a_checkpoint_and_the_same_command_resumes() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    for stage in ["pretrain", "distil"] {
        let sweep = project.sweep().start();
        wait_until("the start of the cell", || project.num_started(stage) > 0);
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..2 {
            sweep.send_to_all(Signal::TERM);
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = sweep.finish();
        output.assert_code(130);
        output.stderr_contains("run the same command again to resume");
        assert!(project.events(stage).iter().any(|(_, event)| event.kind == EventKind::Stopped));
        assert!(project.files("").iter().any(|path| is_in_checkpoint(path)), "no checkpoint was saved");
    }
    project.sweep().success();
    let messages = [project.messages("pretrain"), project.messages("distil")].concat();
    assert!(!messages.iter().any(|line| line.contains("was killed or ran out of memory")), "{messages:?}");
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
}

#[test]
fn a_sweep_writes_a_checkpoint_on_request_and_goes_on() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    let mut sweep = project.sweep().start();
    for stage in ["pretrain", "distil"] {
        let is_written = || project.messages(stage).iter().any(|line| line.contains("wrote a checkpoint"));
        wait_until("the start of the cell", || project.num_started(stage) > 0);
        wait_until("the requested checkpoint", || {
            sweep.send_to_all(Signal::USR1);
            std::thread::sleep(Duration::from_millis(50));
            is_written() || sweep.has_ended()
        });
        assert!(is_written(), "the {stage} cell wrote no checkpoint");
    }
    sweep.finish().assert_code(0);
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
}

#[test]
fn a_second_ctrl_c_ends_the_sweep_within_a_training_step() {
    // With this batch size, a step takes many seconds.
    let project =
        Project::with_settings(&["pretrain.batch-size=16384", r#"pretrain.token-budget="1048576""#]);
    let sweep = project.sweep().start();
    wait_until("the start of the cell", || project.num_started("pretrain") > 0);
    sweep.interrupt();
    std::thread::sleep(Duration::from_millis(200));
    sweep.interrupt();
    sweep.finish().assert_code(130);
    let events = project.events("pretrain");
    assert!(events.iter().all(|(_, event)| event.kind == EventKind::Started), "the sweep finished the step");
    assert!(project.records("pretrain").is_empty());
}
