//! `dtr report`: tables and figures of finished cells.

use crate::project::Project;
use crate::table_columns::{numbers, optional_texts, texts};

#[test]
fn a_report_names_the_command_that_computes_missing_cells() {
    Project::new().command("report").exit(3).stderr_contains("dtr sweep");
}

#[test]
fn a_sweep_without_variants_has_the_items_of_its_bases() {
    let project = Project::finished(&["sweep.variant=[]"]);
    let (bases, items) = (project.table("bases"), project.table("items"));
    assert_eq!(items.height(), 2 * 32);
    assert!(optional_texts(&items, "variant").iter().all(Option::is_none));
    assert!(texts(&items, "system").iter().all(|system| system == "base"));
    let (keys, is_correct) = (texts(&items, "cell_key"), items.column("correct").unwrap().clone());
    let is_correct: Vec<bool> = is_correct.bool().unwrap().iter().map(Option::unwrap).collect();
    for (key, score) in texts(&bases, "cell_key").iter().zip(numbers(&bases, "p_base")) {
        let answers: Vec<bool> = keys
            .iter()
            .zip(&is_correct)
            .filter(|(cell, _)| *cell == key)
            .map(|(_, correct)| *correct)
            .collect();
        let num_correct = answers.iter().filter(|correct| **correct).count();
        assert_eq!((answers.len(), num_correct as f64 / 32.0), (32, score));
    }
}
