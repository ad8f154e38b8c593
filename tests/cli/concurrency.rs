//! Several processes at one results folder, their manifests overlapping: each cell once, and all tables as alone.

use std::collections::BTreeMap;
use std::fs;

use crate::project::{Project, text, wait_until};

/// The same variants in another order and with another threshold: twins and most scores are shared.
const STRICTER: [&str; 6] = [
    "--set",
    r#"name="stricter""#,
    "--set",
    r#"sweep.variant=["gdn", "gla"]"#,
    "--set",
    "search.stop={ max-relative-drop = 0.5 }",
];

/// The same order with another threshold: its searches ask for the same scores at the same time.
const LOOSER: [&str; 4] = ["--set", r#"name="looser""#, "--set", "search.stop={ max-relative-drop = 0.6 }"];

#[test]
fn several_processes_do_every_cell_once_and_end_with_the_same_tables() {
    let (calm, busy) = (Project::new(), Project::new());
    calm.sweep(&[]);
    calm.sweep(&STRICTER);
    calm.sweep(&LOOSER);
    let experiments: [&[&str]; 4] = [&[], &STRICTER, &[], &LOOSER];
    let sweeps = experiments.map(|more| busy.command("sweep", &[&["--json"], more].concat()));
    let sweeps = sweeps.map(|mut sweep| {
        sweep.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    let mut num_done = 0;
    for mut sweep in sweeps {
        wait_until("the end of a sweep", || sweep.try_wait().unwrap().is_some());
        let ended = sweep.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        num_done += summary["done"].as_u64().unwrap();
    }
    // One base, two twins, and three searches for each of two tasks and variants.
    assert_eq!(num_done, 1 + 2 + 3 * 4);

    let mut scored = BTreeMap::new();
    for stage in ["pretrain", "distil", "search"] {
        let mut counts: BTreeMap<_, [usize; 2]> = BTreeMap::new();
        for (path, _, what) in busy.happenings(stage) {
            let [begun, done] = counts.entry(path).or_default();
            *begun += usize::from(what == "begun");
            *done += usize::from(what == "done");
            if let Some(score) = what["scored"].as_str() {
                *scored.entry(score.to_owned()).or_insert(0) += 1;
            }
        }
        assert!(counts.values().all(|count| *count == [1, 1]), "{counts:?}");
    }
    assert!(scored.values().all(|count| *count == 1), "{scored:?}");
    assert_eq!(scored.len(), busy.named("score", "record.json").len());

    for name in ["small", "stricter", "looser"] {
        assert!(busy.outcome(name) == calm.outcome(name), "{name}: tables and figures are the same bytes");
    }
    for stage in ["pretrain", "distil"] {
        let bytes = |bench: &Project| {
            let files =
                bench.named(stage, if stage == "distil" { "twins.safetensors" } else { "model.safetensors" });
            files.into_iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
        };
        assert!(bytes(&busy) == bytes(&calm));
    }
    let sound = busy.dtr("verify", &["--sample", "0"]);
    assert!(sound.status.success(), "{}", text(&sound.stdout));
}
