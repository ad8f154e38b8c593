//! `dtr plan` lists the cells that would run, with reasons.

use crate::project::Project;

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
