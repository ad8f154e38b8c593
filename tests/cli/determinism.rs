//! With one seed, a sweep writes the same bytes for any number of threads, any order of cells and any
//! grouping of variants.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::project::{Project, cell_folder_of};

/// Returns the bytes of each file of twins. The key of the map is the cell's key.
fn twins(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let twins = |path: PathBuf| {
        let key = cell_folder_of(&path).file_name().unwrap().to_string_lossy().into_owned();
        (key, fs::read(&path).unwrap())
    };
    project.cell_files("distil", "twins.safetensors").into_iter().map(twins).collect()
}

/// Asserts that two projects have the same tables, figures and twins.
fn assert_same(project: &Project, other: &Project) {
    assert!(project.comparable_outputs() == other.comparable_outputs(), "the tables or figures differ");
    assert_eq!(twins(project).len(), 2);
    assert!(twins(project) == twins(other), "the twins differ");
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let sweep = |num_threads: &str| {
        let project = Project::new();
        project.sweep().env("RAYON_NUM_THREADS", num_threads).success();
        let record = fs::read_to_string(&project.records("distil")[0]).unwrap();
        assert!(record.contains(&format!("\"threads\":{num_threads},")), "wrong number of threads");
        project
    };
    let one = sweep("1");
    assert_same(&sweep("2"), &one);
    assert_same(&sweep("4"), &one);
}

#[test]
fn the_order_and_the_grouping_of_cells_change_no_byte() {
    let together = Project::finished(&[]);
    let reversed = Project::new();
    reversed
        .sweep()
        .set(r#"sweep.variant=["gdn", "gla"]"#)
        .set(r#"sweep.task=["facts", "recall"]"#)
        .success();
    assert_same(&reversed, together);

    let apart = Project::new();
    for variant in [r#"sweep.variant=["gdn"]"#, r#"sweep.variant=["gla"]"#] {
        assert_eq!(apart.sweep().set(variant).json()["failed"], serde_json::json!([]));
    }
    assert_eq!(apart.sweep().json()["done"], 0, "the joint sweep computed a cell again");
    assert_same(&apart, together);
}
