//! `dtr verify` checks stored results, and reports exactly the results that differ.

use std::fs;

use serde_json::json;

use crate::dtr_command::DtrCommand;
use crate::project::{ONE_SEARCH, Project};
use crate::rewrite_record::rewrite_record;

fn verify(project: &Project, sample: &str) -> DtrCommand {
    project.command("verify").args(["--json", "--sample", sample])
}

#[test]
fn results_are_reproduced_by_computing_them_again() {
    let project = Project::finished(ONE_SEARCH).copy();
    let contents =
        || -> Vec<_> { project.files("").into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect() };
    let before = contents();
    let summary = verify(&project, "9").success().json();
    assert_eq!(summary["recomputed"].as_array().unwrap().len(), 3, "{summary}");
    assert_eq!(summary["differences"], json!([]));
    assert_eq!(summary["records"].as_u64().unwrap() as usize, project.num_records(""));
    assert!(before == contents(), "`verify` changed a file");
}

#[test]
fn the_seed_of_a_verification_chooses_the_cells_to_compute_again() {
    let project = Project::finished(ONE_SEARCH);
    let chosen = |seed: u32| {
        verify(project, "1").args(["--seed", &seed.to_string()]).success().json()["recomputed"].clone()
    };
    assert_eq!(chosen(0), chosen(0));
    assert!((1..8).any(|seed| chosen(seed) != chosen(0)));
}

#[test]
fn without_a_manifest_records_and_files_are_verified() {
    let project = Project::finished(ONE_SEARCH);
    let summary = DtrCommand::new("verify").arg("--results").arg(project.results()).json();
    assert_eq!(summary["tables"], 0);
}

/// The forged record has a valid digest, but one of its numbers is changed.
#[test]
fn a_forged_result_is_found_by_computing_it_again() {
    let project = Project::finished(ONE_SEARCH).copy();
    let path = project.records("distil").remove(0);
    rewrite_record(&path, "\"final\":", "\"final\":1");
    project.command("report").success();
    verify(&project, "0").success();
    let summary = verify(&project, "3").exit(1).json();
    let differences = summary["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{summary}");
    assert_eq!(differences[0]["path"], path.to_string_lossy().as_ref());
    assert_eq!(differences[0]["reason"], "the recomputed result differs");
}
