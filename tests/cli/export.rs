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

    // The same hybrid for flash-linear-attention, with rounded weights.
    let fla = project.path("hybrids/fla");
    let options = ["--format", "fla", "--dtype", "bf16"];
    export(&fla, never).args(of_gdn).args(options).success();
    let config: Value = serde_json::from_str(&fs::read_to_string(fla.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["model_type"], "gated_deltanet");
    assert_eq!((&config["attn"], &config["dtype"]), (&Value::Null, &json!("bfloat16")));
    assert!(fs::read_to_string(fla.join("README.md")).unwrap().contains("import fla"));
    assert!(!fla.join("modeling_dtr.py").exists());
    let qwen3_5 = ["--format", "qwen3_5"];
    let refused = export(&project.path("hybrids/qwen"), never).args(of_gdn).args(qwen3_5).exit(2);
    refused.stderr_contains("`base` must be qwen3, not llama");
    assert!(!project.path("hybrids/qwen").exists());

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

#[test]
fn the_conditions_of_a_format_are_checked_before_a_search() {
    let project = Project::with_settings(&[r#"sweep.task=["recall"]"#]);
    let check = |variant: &str, format: &str| {
        let options = ["--check", "--variant", variant, "--format", format];
        project.command("export").args(options)
    };
    let refused = check("gdn", "qwen3_5").exit(2).stdout();
    assert!(refused.contains("`base` must be qwen3, not llama"), "{refused}");
    let jet = check("gla", "jet-nemotron").exit(2).stdout();
    assert!(jet.contains("`block` must be jet, not gla") && !jet.contains("`qk-norm`"), "{jet}");
    check("gdn", "transformers").success();
    let fla = check("gla", "fla").json();
    assert_eq!((&fla["format"], &fla["is_met"]), (&json!("fla"), &json!(true)), "{fla}");
    assert!(fla["constraints"].as_array().unwrap().iter().any(|one| one["name"] == "rope_scaling"));
    project.command("export").args(["--check"]).arg("directory").exit(2);
}
