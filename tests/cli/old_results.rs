//! Results of versions that kept the record, the artifacts and the log of a cell in its folder are read, and
//! such sweeps are resumed.

use std::fs;
use std::path::Path;

use dtr::store::EventKind;

use crate::project::{ONE_SEARCH, Project, WITH_CHECKPOINTS, wait_until};
use crate::rewrite_record::rewrite_record;

/// Gives a results folder the layout of earlier versions: no attempts, the record in the folder of its cell,
/// and a lock in each folder.
fn convert_to_old_layout(project: &Project) {
    for record in project.records("") {
        remove_attempt(&record);
        let folder = record.with_extension("");
        fs::create_dir_all(&folder).unwrap();
        fs::rename(record, folder.join("record.json")).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
    }
    for path in project.files("cells-v2") {
        let Some(attempt) = path.parent().filter(|folder| folder.parent().unwrap().ends_with("a")) else {
            continue;
        };
        let (attempt, cell) = (attempt.to_owned(), attempt.parent().unwrap().parent().unwrap().to_owned());
        fs::rename(&path, cell.join(path.file_name().unwrap())).unwrap();
        fs::write(cell.join("lock"), "").unwrap();
        let _ = fs::remove_dir(attempt);
        let _ = fs::remove_dir(cell.join("a"));
    }
}

fn remove_attempt(record: &Path) {
    let text = fs::read_to_string(record).unwrap();
    let start = text.find("\"attempt\":").unwrap();
    let end = start + text[start..].find(',').unwrap() + 1;
    rewrite_record(record, &text[start..end], "");
    rewrite_record(record, "\"format\":2", "\"format\":1");
}

#[test]
fn finished_results_of_an_earlier_version_are_read() {
    let project = Project::finished(ONE_SEARCH).copy();
    convert_to_old_layout(&project);
    assert!(project.files("cells-v2").iter().all(|path| !path.to_string_lossy().contains("/a/")));
    let outputs = project.comparable_outputs();
    let summary = project.sweep().json();
    assert_eq!((&summary["done"], &summary["cached"]), (&0.into(), &3.into()), "{summary}");
    assert!(project.comparable_outputs() == outputs);
    let page = String::from_utf8(project.page()).unwrap();
    assert!(page.contains("record.json\""), "the page does not link to the old records");
    assert_eq!(project.records("").len(), 0, "an old record was written again");
    project.command("verify").args(["--sample", "1"]).success();
    // A new search reads the base and the twins at their old place.
    project.sweep().set("search.stop={ max-relative-drop = 0.001 }").success();
    assert_eq!(project.num_started("distil"), 1);
}

#[test]
fn an_unfinished_sweep_of_an_earlier_version_is_resumed() {
    let project = Project::with_settings(WITH_CHECKPOINTS);
    let sweep = project.sweep().start();
    let is_checkpoint = |path: &Path| path.parent().unwrap().ends_with("checkpoint");
    let checkpoints = || project.cell_files("distil", "twins.safetensors");
    wait_until("a checkpoint", || checkpoints().iter().any(|path| is_checkpoint(path)));
    sweep.kill();
    convert_to_old_layout(&project);
    project.sweep().success();
    assert!(project.messages("distil").iter().any(|line| line.contains("resumes after step")));
    assert!(project.comparable_outputs() == Project::finished(WITH_CHECKPOINTS).comparable_outputs());
    let is_start = |kind: &EventKind| *kind == EventKind::Started;
    let num_starts = project.events("distil").iter().filter(|(_, event)| is_start(&event.kind)).count();
    assert_eq!(num_starts, 4, "the two cells were not started twice each");
}
