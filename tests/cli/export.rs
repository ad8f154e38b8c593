//! `dtr export` writes a hybrid as a Hugging Face model directory, which `dtr generate` can run.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::project::Project;

fn generate(directory: &Path) -> Value {
    let sampling = ["--max-tokens", "20", "--temperature", "0.8", "--seed", "4"];
    DtrCommand::new("generate").arg(directory).arg("the lamp is in the").args(sampling).json()
}

#[test]
fn the_hybrid_of_a_search_is_exported_and_runs() {
    let project = Project::with_settings(&[r#"sweep.task=["recall"]"#]);
    let (hybrid, base) = (project.path("hybrids/linear"), project.path("hybrids/base"));
    let never = "search.stop={ never = {} }";
    let export = |directory: &Path, stop: &str| project.command("export").arg(directory).set(stop);
    let of_gdn = ["--variant", "gdn"];
    export(&hybrid, never).args(of_gdn).exit(3).stderr_contains("dtr sweep");

    project.sweep().set(never).success();
    export(&hybrid, never).exit(2).stderr_contains("tiny gla recall");

    let summary = export(&hybrid, never).args(of_gdn).json();
    assert_eq!(summary["layers"], json!([0, 1, 2, 3]));
    let config = fs::read_to_string(hybrid.join("config.json")).unwrap();
    assert_eq!(config.matches("linear_attention").count(), 4, "{config}");
    let card = fs::read_to_string(hybrid.join("README.md")).unwrap();
    assert!(card.contains("# tiny gdn recall") && card.contains("| 4 |"), "{card}");
    assert_eq!(generate(&hybrid)["tokens"], 20);

    // No hybrid reaches this score, so the search ends with the base.
    let unreachable = "search.stop={ min-score = 1.0 }";
    project.sweep().set(unreachable).success();
    export(&base, unreachable).args(of_gdn).success().stderr_contains("this is the base");
    assert_ne!(generate(&base), generate(&hybrid));

    // An exported hybrid cannot be the base of another sweep, but an exported base can.
    let source = |directory: &Path| format!("models.tiny.source={{ path = {directory:?} }}");
    let refused = project.plan().set(&source(&hybrid)).exit(2);
    refused.stderr_contains("holds a hybrid, not a base: 4 of its 4");
    project.plan().set(&source(&base)).success();
}
