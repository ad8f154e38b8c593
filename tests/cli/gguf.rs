//! Tests bases from GGUF files: sweeps, exports, conversions, cell keys, and downloads from the hub.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::hub_project::{HubProject, repositories};
use crate::hub_server::COMMIT;
use crate::project::{Project, repository_root};
use crate::temp_folder::TempFolder;

/// Settings of a sweep with the base `g` and one search.
const SETTINGS: [&str; 4] = [
    r#"sweep.model=["g"]"#,
    r#"sweep.variant=["gla"]"#,
    r#"sweep.task=["recall"]"#,
    "search.stop={ never = {} }",
];

fn fixture(name: &str) -> PathBuf {
    repository_root().join("tests/fixtures/gguf").join(name)
}

/// Converts a fixture. Returns the directory of the converted model, and the temporary folder that contains
/// it.
fn converted(name: &str) -> (TempFolder, PathBuf) {
    let folder = TempFolder::new();
    let directory = folder.path("model");
    let printed = DtrCommand::new("convert").arg(fixture(name)).arg(&directory).success().stdout();
    assert_eq!(printed, format!("{}\n", directory.display()));
    (folder, directory)
}

fn gguf_source(path: &Path) -> String {
    format!("models.g.source={{ gguf = {path:?} }}")
}

fn path_source(path: &Path) -> String {
    format!("models.g.source={{ path = {path:?} }}")
}

/// Creates a project with one search. `source` is the setting that names the base.
fn project(source: &str) -> Project {
    Project::with_settings(&[&[source], &SETTINGS[..]].concat())
}

/// Returns the results of all cells of a stage, in a fixed order.
fn outcomes(project: &Project, stage: &str) -> Vec<Value> {
    let outcome = |path: PathBuf| {
        let record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        record["body"]["outcome"]["done"].clone()
    };
    let mut outcomes: Vec<Value> = project.records(stage).into_iter().map(outcome).collect();
    outcomes.sort_by_key(Value::to_string);
    outcomes
}

#[test]
fn a_file_and_its_converted_directory_give_the_same_scores_and_hybrids() {
    let (_folder, directory) = converted("qwen2.gguf");
    let projects = [project(&gguf_source(&fixture("qwen2.gguf"))), project(&path_source(&directory))];
    let hybrids = projects.each_ref().map(|project| {
        project.sweep().success();
        let hybrid = project.path("hybrid");
        project.command("export").arg(&hybrid).success();
        hybrid
    });
    let scores = projects.each_ref().map(|project| outcomes(project, "score"));
    assert!(!scores[0].is_empty() && scores[0][0]["score"].is_f64(), "{:?}", scores[0]);
    assert_eq!(scores[0], scores[1]);
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        let texts = hybrids.each_ref().map(|hybrid| fs::read(hybrid.join(name)).unwrap());
        assert!(texts[0] == texts[1], "{name} differs");
    }
    let weights = hybrids.each_ref().map(|hybrid| fs::read(hybrid.join("model.safetensors")).unwrap());
    assert!(weights[0] == weights[1], "the weights differ");
    assert_eq!(generate(&hybrids[0], &["--max-tokens", "5"])["tokens"], 5);
}

#[test]
fn the_key_of_a_cell_depends_on_the_content_of_the_file() {
    let keys = |path: &Path| {
        let plan = project(&gguf_source(path)).plan().json();
        let cells = plan["cells"].as_array().unwrap().iter();
        cells.map(|cell| cell["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let folder = TempFolder::new();
    let mut bytes = fs::read(fixture("qwen2.gguf")).unwrap();
    let copy = folder.write("another-name.gguf", &bytes);
    let original = keys(&fixture("qwen2.gguf"));
    assert!(!original.is_empty());
    assert_eq!(keys(&copy), original);
    // This byte is in the values of the last tensor.
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    assert_ne!(keys(&folder.write("changed.gguf", &bytes)), original);
}

fn generate(model: &Path, arguments: &[&str]) -> Value {
    DtrCommand::new("generate").arg(model).arg("where is the lamp?").args(arguments).json()
}

#[test]
fn a_file_and_its_converted_directory_generate_the_same_text() {
    for (name, arguments) in [
        ("llama.gguf", &["--max-tokens", "12"][..]),
        ("qwen2.gguf", &["--max-tokens", "12", "--chat", "--system", "be brief"]),
        ("qwen3.gguf", &["--max-tokens", "12", "--temperature", "0.8"]),
    ] {
        let (_folder, directory) = converted(name);
        let of_file = generate(&fixture(name), arguments);
        assert!(of_file["prompt_tokens"].as_u64().unwrap() > 3, "{of_file}");
        assert_eq!(of_file, generate(&directory, arguments), "{name}");
    }
    DtrCommand::new("generate")
        .arg(fixture("llama.gguf"))
        .args(["hello", "--chat"])
        .exit(2)
        .stderr_contains("has no chat template");
}

#[test]
fn a_conversion_overwrites_nothing_and_converts_only_gguf_files() {
    let convert = |from: &Path, to: &Path| DtrCommand::new("convert").arg(from).arg(to);
    let (folder, directory) = converted("qwen3.gguf");
    convert(&fixture("qwen3.gguf"), &directory).exit(2).stderr_contains("already exists");
    convert(&directory, &folder.path("again")).exit(2).stderr_contains("is not a GGUF file");
    let absent = folder.path("absent.gguf");
    convert(&absent, &folder.path("other")).exit(5).stderr_contains("absent.gguf");
    assert!(!folder.path("other").exists());
    let json = convert(&fixture("qwen3.gguf"), &folder.path("new")).json();
    assert_eq!(json, json!({ "directory": folder.path("new") }));
}

#[test]
fn a_source_of_the_other_kind_is_refused_with_a_hint() {
    let refused = |source: &str, texts: &[&str]| {
        let output = project(source).plan().exit(2);
        texts.iter().fold(output, |output, text| output.stderr_contains(text));
    };
    let folder = TempFolder::new();
    refused(&path_source(&fixture("qwen2.gguf")), &["is a file", "write `gguf`"]);
    refused(&gguf_source(folder.root()), &["it is a directory", "write `path`"]);
    refused(&gguf_source(&folder.path("absent")), &["there is no such file"]);
    let hub = |file: &str| format!("models.g.source={{ hub = {{ repo = \"a/b\", file = {file:?} }} }}");
    refused(&hub("../x.gguf"), &["the path of a GGUF file in the repository"]);
    refused(&hub("model.safetensors"), &["the path of a GGUF file in the repository"]);
}

#[test]
fn an_unsupported_architecture_is_named() {
    let folder = TempFolder::new();
    let bytes = fs::read(fixture("qwen3.gguf")).unwrap();
    let at = bytes.windows(5).position(|window| window == b"qwen3").unwrap();
    let changed = [&bytes[..at], b"mamba", &bytes[at + 5..]].concat();
    let path = folder.write("mamba.gguf", changed);
    let output = project(&gguf_source(&path)).plan().exit(5);
    output.stderr_contains("the architecture \"mamba\"").stderr_contains("llama, qwen2, qwen3");
}

#[test]
fn a_file_of_a_repository_is_downloaded_alone() {
    let gguf = fs::read(fixture("qwen2.gguf")).unwrap();
    let mut all = repositories();
    let files = [("q/model.gguf", gguf.clone()), ("q/other.gguf", b"no file".to_vec())];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    all.insert("lab/quantised".to_owned(), files.into());
    let project = HubProject::with_repositories(all);
    let source = r#"models.mini.source={ hub = { repo = "lab/quantised", file = "q/model.gguf" } }"#;
    project.sweep().set(source).success();
    let record = project.record();
    let model = json!({ "kind": "model", "id": "lab/quantised", "commit": COMMIT, "file": "q/model.gguf" });
    assert_eq!(record["spec"]["model"], model);
    let uri = format!("hf://lab/quantised@{COMMIT}/q/model.gguf");
    assert_eq!(record["provenance"]["hub_files"][&uri].as_str().unwrap().len(), 64);
    let snapshot = project.folder.path("home/hub/models--lab--quantised/snapshots").join(COMMIT);
    assert_eq!(fs::read(snapshot.join("q/model.gguf")).unwrap(), gguf);
    assert!(!snapshot.join("q/other.gguf").exists());
    project.sweep().set(source).env("HF_HUB_OFFLINE", "1").success();
}
