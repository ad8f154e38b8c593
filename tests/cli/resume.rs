//! Killed at any moment, a sweep started again ends as an undisturbed one, and little is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use dtr_core::seed::Seed;
use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process};

use crate::project::{LONG, Project, calm_long, text, wait_until};

/// What `saving.rs` says that a kill may lose at most, besides a step.
const MOST_LOST: Duration = Duration::from_secs(30);

/// How long a worker may outlive the process that watches it.
const MOST_OUTLIVED: Duration = Duration::from_secs(2);

/// What kills came to.
#[derive(Default, Debug)]
struct Toll {
    /// Kills by the stage of the cell at work.
    kills: BTreeMap<String, usize>,
    /// The longest time since the killed cell was begun or last wrote something that lasts.
    most_lost: Duration,
    /// Sweeps that went on to their end.
    num_sweeps: usize,
}

impl Toll {
    fn num_kills(&self) -> usize {
        self.kills.values().sum()
    }

    /// Files the kill of the process that worked on `bench`.
    fn file(&mut self, bench: &Project) {
        let mut stage = "between cells".to_owned();
        for one in ["pretrain", "distil", "search"] {
            for log in bench.named(one, "events.jsonl") {
                let text = fs::read_to_string(&log).unwrap();
                if !text.lines().last().is_some_and(|line| line.contains(r#""what":"done""#)) {
                    stage = one.to_owned();
                    self.most_lost = self.most_lost.max(since_last_kept(bench, &log));
                }
            }
        }
        *self.kills.entry(stage).or_default() += 1;
    }
}

/// How long ago a cell was begun or wrote its checkpoint last, or, within a search, a score was recorded.
fn since_last_kept(bench: &Project, log: &Path) -> Duration {
    let written = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).unwrap();
    let checkpoints = bench.files("cells-v1").into_iter().filter(|path| {
        path.components().any(|part| part.as_os_str() == "checkpoint") || path.ends_with("record.json")
    });
    let last = checkpoints.map(|path| written(&path)).chain([written(log)]).max().unwrap();
    SystemTime::now().duration_since(last).unwrap_or_default()
}

/// Whether a cell is somebody's.
fn is_running(bench: &Project) -> bool {
    let status = bench.dtr("status", &[&["--json"][..], &LONG].concat());
    let counts: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    counts.as_array().unwrap().iter().any(|stage| stage["running"] != 0)
}

/// Sweeps and kills at random moments until `num_kills`, each sweep from the beginning to its end; the outcome
/// is that of a calm one.
fn kill(num_kills: usize, seed: u32) -> Toll {
    let calm = calm_long();
    let mut moments = Seed(seed).rng();
    let mut toll = Toll::default();
    while toll.num_kills() < num_kills {
        let bench = Project::new();
        loop {
            let mut sweep = bench.start(&LONG);
            let moment = Instant::now() + Duration::from_millis(moments.random_range(20..2500));
            while toll.num_kills() < num_kills
                && Instant::now() < moment
                && sweep.try_wait().unwrap().is_none()
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            if toll.num_kills() == num_kills || sweep.try_wait().unwrap().is_some() {
                let ended = sweep.wait_with_output().unwrap();
                assert!(ended.status.success(), "{}", text(&ended.stderr));
                break;
            }
            sweep.kill().unwrap();
            sweep.wait().unwrap();
            toll.file(&bench);
            // The worker dies with the process that was killed, a moment later.
            let deadline = Instant::now() + MOST_OUTLIVED;
            while is_running(&bench) {
                assert!(Instant::now() < deadline, "a lock outlived its holder");
            }
        }
        toll.num_sweeps += 1;
        assert!(bench.outcome("small") == *calm, "tables and figures are the same bytes");
        assert!(bench.files("").iter().all(|path| !path.to_string_lossy().contains(".dtr-tmp-")));
    }
    println!("{toll:?}");
    assert!(toll.most_lost < MOST_LOST, "{toll:?}");
    toll
}

#[test]
fn a_sweep_killed_at_random_moments_ends_as_a_calm_one() {
    assert_eq!(kill(8, 0).num_kills(), 8);
}

/// `just kill-test`
#[test]
#[ignore = "minutes"]
fn a_hundred_kills_change_nothing() {
    let toll = kill(100, 1);
    assert!(["pretrain", "distil", "search"].iter().all(|stage| toll.kills.contains_key(*stage)), "{toll:?}");
}

#[test]
fn a_killed_cell_goes_on_from_its_checkpoint() {
    let (calm, bench) = (calm_long(), Project::new());
    for (stage, checkpoint) in [("pretrain", "base.safetensors"), ("distil", "twins.safetensors")] {
        let mut sweep = bench.start(&LONG);
        let is_checkpoint = |path: &std::path::PathBuf| path.parent().unwrap().ends_with("checkpoint");
        wait_until("a checkpoint", || bench.named(stage, checkpoint).iter().any(is_checkpoint));
        sweep.kill().unwrap();
        sweep.wait().unwrap();
    }
    bench.sweep(&LONG);
    for stage in ["pretrain", "distil"] {
        let said = bench.said(stage);
        assert!(said.iter().any(|line| line.contains("goes on after step")), "{said:?}");
        assert!(said.iter().any(|line| line.contains("ended without a word")), "{said:?}");
    }
    assert!(bench.outcome("small") == *calm);
    assert!(!bench.files("").iter().any(|path| path.parent().unwrap().ends_with("checkpoint")));
}

fn interrupt(child: &std::process::Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

#[test]
fn ctrl_c_keeps_the_step_and_the_same_command_goes_on() {
    let (calm, bench) = (calm_long(), Project::new());
    for stage in ["pretrain", "distil"] {
        let sweep = bench.start(&LONG);
        let begun = |bench: &Project| bench.happenings(stage).iter().any(|(_, _, what)| what == "begun");
        wait_until("the cell", || begun(&bench));
        std::thread::sleep(Duration::from_millis(300));
        interrupt(&sweep);
        let ended = sweep.wait_with_output().unwrap();
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{said}");
        assert!(said.contains("run the same command again to resume"), "{said}");
        assert!(bench.happenings(stage).iter().any(|(_, _, what)| what == "stopped"));
    }
    bench.sweep(&LONG);
    let said = [bench.said("pretrain"), bench.said("distil")].concat();
    assert!(said.iter().any(|line| line.contains("goes on after step")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("ended without a word")), "{said:?}");
    assert!(bench.outcome("small") == *calm);
}

#[test]
fn ctrl_c_twice_stops_within_the_step() {
    let bench = Project::new();
    // One step of many seconds.
    let step = ["--set", "pretrain.batch-size=16384", "--set", r#"pretrain.token-budget="1048576""#];
    let sweep = bench.start(&step);
    wait_until("the cell", || bench.happenings("pretrain").iter().any(|(_, _, what)| what == "begun"));
    interrupt(&sweep);
    std::thread::sleep(Duration::from_millis(200));
    interrupt(&sweep);
    let ended = sweep.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    assert!(
        bench.happenings("pretrain").iter().all(|(_, _, what)| what == "begun"),
        "the step was not finished"
    );
    assert!(bench.named("pretrain", "record.json").is_empty());
}
