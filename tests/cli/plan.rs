//! `dtr plan` lists the cells that would run, with reasons.

use crate::bad_inputs::{dtr, valid_folder};
use crate::project::{Project, files_below};

#[test]
fn a_plan_says_why_each_cell_would_run() {
    let fresh = Project::new().plan().success().stdout();
    assert_eq!(fresh.matches("never done").count(), 1, "{fresh}");
    assert_eq!(fresh.matches("waits for").count(), 6, "{fresh}");

    let project = Project::finished(&[]);
    let unchanged = project.plan().success().stdout();
    assert!(!unchanged.contains("to do"), "{unchanged}");
    let changed = project.plan().set(r#"distil.token-budget="8k""#).success();
    changed.stdout_contains("recipe.token-budget: 4000 -> 8000");
}

#[test]
fn a_plan_remembers_that_a_base_can_be_scored_until_a_file_changes() {
    let folder = valid_folder();
    let plan = || dtr(&folder, &["plan", "main.toml"]).env("XDG_CACHE_HOME", folder.path("cache"));
    let num_entries = || files_below(&folder.path("cache/dtr/compatibility")).len();
    plan().success();
    assert_eq!(num_entries(), 2, "the cache does not have an entry for each split");
    plan().success();
    assert_eq!(num_entries(), 2);
    let rows = std::fs::read_to_string(folder.path("rows.jsonl")).unwrap();
    folder.write("rows.jsonl", rows.replace("the", "xylophone"));
    plan().exit(2).stderr_contains("does not know all words");
    folder.write("rows.jsonl", &rows);
    let config = std::fs::read_to_string(folder.path("base/config.json")).unwrap();
    let short = config.replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 0");
    assert_ne!(short, config);
    folder.write("base/config.json", short);
    plan().exit(2).stderr_contains("cannot be scored on the task");
    assert_eq!(num_entries(), 2, "a failed check added an entry to the cache");
    folder.write("base/config.json", config);
    plan().success();
    // If the cache folder cannot be written, the plan only takes longer.
    folder.write("file", "");
    plan().env("XDG_CACHE_HOME", folder.path("file")).success();
}
