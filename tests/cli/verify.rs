//! `dtr verify` finds what differs, and only that.

use std::fs;

use crate::project::{ONE, Project, text};

fn verify(bench: &Project, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = bench.dtr("verify", &[&["--json"][..], &ONE, more].concat());
    let told = serde_json::from_slice(&output.stdout);
    (output.status.code(), told.unwrap_or_else(|_| panic!("{}", text(&output.stderr))))
}

#[test]
fn sound_results_are_the_same_when_done_again() {
    let bench = Project::new();
    bench.sweep(&ONE);
    let before: Vec<_> = bench.files("").into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let (code, told) = verify(&bench, &["--sample", "9"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told["again"].as_array().unwrap().len(), 3, "{told}");
    assert_eq!(told["differences"], serde_json::json!([]));
    assert_eq!(told["records"].as_u64().unwrap() as usize, bench.named("", "record.json").len());
    let after: Vec<_> = bench.files("").into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(before == after, "nothing was changed");

    // Which cells are done again is the seed's choice.
    let chosen =
        |seed: u32| verify(&bench, &["--sample", "1", "--seed", &seed.to_string()]).1["again"].clone();
    assert_eq!(chosen(0), chosen(0));
    assert!((1..8).any(|seed| chosen(seed) != chosen(0)));

    // Without a manifest, records and files are read.
    let mut alone = std::process::Command::new(env!("CARGO_BIN_EXE_dtr"));
    let alone = alone.args(["verify", "--json", "--results"]).arg(bench.results()).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!((alone.status.code(), &told["tables"]), (Some(0), &0.into()));
}

/// A record whose digests all fit and whose numbers are invented.
#[test]
fn a_forged_result_is_found_by_doing_it_again() {
    let bench = Project::new();
    bench.sweep(&ONE);
    let path = bench.named("distil", "record.json").remove(0);
    let whole = fs::read_to_string(&path).unwrap();
    let (_, body) = whole.split_once("\n\"body\":").unwrap();
    let body = body.strip_suffix("}\n").unwrap().replacen("\"final\":", "\"final\":1", 1);
    let digest = dtr_core::files::Digest::of(body.as_bytes());
    fs::write(&path, format!("{{\"digest\":\"{digest}\",\n\"body\":{body}}}\n")).unwrap();
    bench.dtr("report", &ONE);
    assert_eq!(verify(&bench, &["--sample", "0"]).0, Some(0), "every digest fits");
    let (code, told) = verify(&bench, &["--sample", "3"]);
    assert_eq!(code, Some(1));
    let differences = told["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{told}");
    assert_eq!(differences[0]["path"], path.to_string_lossy().as_ref());
    assert_eq!(differences[0]["why"], "done again, it has another result");
}
