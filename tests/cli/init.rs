//! `dtr init` writes a manifest that can be planned and swept.

use std::fs;
use std::path::Path;

use crate::bad_inputs::dtr;
use crate::dtr_command::{DtrCommand, DtrOutput};
use crate::hub_project::{HubProject, repositories};
use crate::hub_server::COMMIT;
use crate::project::{files_below, is_record, repository_root};
use crate::temp_folder::TempFolder;

/// Returns rows with the columns of ARC-Easy. The bundled base knows the words of these rows.
fn rows() -> String {
    let row = |(said, answer): &(&str, &str)| {
        format!(
            "{{\"question\": \"{said} where is the lamp? in the\", \"answerKey\": \"{answer}\", \
             \"choices\": {{\"text\": [\"kitchen\", \"garden\"], \"label\": [\"A\", \"B\"]}}}}\n"
        )
    };
    [("the lamp is in the kitchen.", "A"), ("the lamp is in the garden.", "B")].iter().map(row).collect()
}

/// Returns the URIs of the two ARC-Easy files in the text of a manifest.
fn arc_easy_uris(manifest: &str) -> Vec<&str> {
    let uris = manifest.split('"').filter(|text| text.starts_with("hf://datasets/allenai/ai2_arc"));
    let uris: Vec<&str> = uris.collect();
    assert_eq!(uris.len(), 2, "{manifest}");
    uris
}

fn init(folder: &TempFolder, arguments: &[&str]) -> DtrCommand {
    dtr(folder, &[&["init"], arguments].concat())
}

/// Asserts that the command writes no file, and that its message contains all of `texts`.
fn refused(folder: &TempFolder, arguments: &[&str], texts: &[&str]) {
    let before = files_below(folder.root());
    let message = init(folder, arguments).exit(2).message();
    for text in texts {
        assert!(message.contains(text), "{arguments:?}: the message lacks `{text}`: {message}");
    }
    assert_eq!(files_below(folder.root()), before, "{arguments:?} wrote a file");
}

/// Returns whether a line that begins with `time ` contains `text`.
fn has_time(output: &DtrOutput, text: &str) -> bool {
    output.stdout().lines().any(|line| line.starts_with("time ") && line.contains(text))
}

#[test]
fn a_manifest_for_a_gguf_file_is_planned_with_its_memory_and_time() {
    let folder = TempFolder::new();
    let bytes = fs::read(repository_root().join("tests/fixtures/gguf/qwen2.gguf")).unwrap();
    folder.write("bases/Tiny_Qwen2.Q4.gguf", bytes);
    fs::create_dir(folder.path("manifests")).unwrap();
    let arguments = ["bases/Tiny_Qwen2.Q4.gguf", "--output", "manifests/a.toml", "--task", "boolq"];
    let output =
        init(&folder, &[&arguments[..], &["--task", "hellaswag", "--task", "boolq"]].concat()).success();
    let text = fs::read_to_string(folder.path("manifests/a.toml")).unwrap();
    assert!(
        text.contains("[models.\"tiny-qwen2.q4\"]\nsource = { gguf = \"../bases/Tiny_Qwen2.Q4.gguf\" }"),
        "{text}"
    );
    assert!(text.contains("\ntask = [\n    \"boolq\",\n    \"hellaswag\",\n]"), "{text}");
    assert!(text.contains("\ndtype = \"f32\""), "{text}");
    let harness = fs::read_to_string(repository_root().join("experiments/base/harness.toml")).unwrap();
    let copied =
        text.split("\n\n").filter(|part| part.starts_with("[tasks.") && harness.contains(part.trim_end()));
    assert_eq!(copied.count(), 1, "the second task's table differs from the bundled one");
    let stdout = output.stdout();
    assert!(stdout.starts_with("manifests/a.toml\n") && stdout.contains("3 distil, 6 search"), "{stdout}");
    assert!(stdout.contains("memory       tiny-qwen2.q4: "), "{stdout}");
    assert!(has_time(&output, "for distil"), "{stdout}");
    assert!(
        has_time(
            &output,
            "for a search on each 10,000 tokens of validation items; not downloaded: boolq, hellaswag"
        ),
        "{stdout}"
    );
    // `dtr plan` prints the same lines, except for the first two lines and the time.
    let plan = dtr(&folder, &["plan", "manifests/a.toml"]).success().stdout();
    let without_time: String = stdout
        .lines()
        .skip(2)
        .filter(|line| !line.starts_with("time "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(without_time, plan);
}

#[test]
fn a_manifest_for_a_directory_is_swept() {
    let folder = TempFolder::new();
    folder.write("corpus.txt", "the lamp is in the kitchen.\n\nthe lamp is in the garden.\n\n".repeat(20));
    folder.write("rows.jsonl", rows());
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        folder.write(
            &format!("mini/{name}"),
            fs::read(repository_root().join("models/mini").join(name)).unwrap(),
        );
    }
    let output = init(&folder, &["mini", "--corpus", "corpus.txt"]).success();
    output.stderr_contains("`dtr sweep mini.toml` runs it");
    let text = fs::read_to_string(folder.path("mini.toml")).unwrap();
    assert!(
        text.contains("source = { path = \"mini\" }") && text.contains("paths = [\"corpus.txt\"]"),
        "{text}"
    );
    assert!(text.contains("sequence-length = 128\n"), "the sequences are longer than the context: {text}");
    let edited = arc_easy_uris(&text).iter().fold(text.clone(), |text, uri| text.replace(uri, "rows.jsonl"));
    let edited = edited.replace("prompt = \"Question: {{question}}\\nAnswer:\"", "prompt = \"{{question}}\"");
    let edited = edited.replace("\"100M\"", "\"4096\"").replace("batch-size = 32", "batch-size = 4");
    folder.write("mini.toml", edited);
    dtr(&folder, &["sweep", "mini.toml"]).success().stdout_contains("arc-easy");
    let records = files_below(&folder.path("results"));
    let num_searches = records.iter().filter(|path| is_record(path) && is_search(path)).count();
    assert_eq!(num_searches, 3);

    let again = init(&folder, &["mini"]).exit(2);
    again.stderr_contains("cannot write `mini.toml`: it already exists").stderr_contains("--output");
    let json = dtr(&folder, &["plan", "mini.toml"]).json();
    assert!(json["cells"].as_array().unwrap().iter().all(|cell| cell["status"] == "done"), "{json}");
}

fn is_search(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "search")
}

#[test]
fn the_shape_of_a_repository_is_known_if_the_hub_is_reachable() {
    let project = hub_project();
    let output = hub_init(&project, &["lab/mini"]).success();
    let text = fs::read_to_string(project.folder.path("mini.toml")).unwrap();
    let source = r#"source = { hub = { repo = "lab/mini", revision = "main" } }"#;
    assert!(text.contains(source) && text.contains("sequence-length = 128\n"), "{text}");
    assert!(has_time(&output, "for distil") && has_time(&output, "not downloaded: arc-easy"), "{output:?}");
    assert!(!project.cached_weights().exists(), "the weights were downloaded");
    let pinned = format!("lab/mini@{COMMIT}");
    hub_init(&project, &[&pinned, "--output", "pinned.toml"])
        .success()
        .stdout_contains("memory       mini: ");
    let text = fs::read_to_string(project.folder.path("pinned.toml")).unwrap();
    assert!(text.contains(&format!("revision = {COMMIT:?}")), "{text}");
    // The hub has no repository of this name.
    let before = files_below(project.folder.root()).len();
    hub_init(&project, &["lab/nothing", "--output", "x.toml"]).exit(5).stderr_contains("lab/nothing");
    assert_eq!(files_below(project.folder.root()).len(), before, "a file was written");
}

#[test]
fn a_manifest_for_a_repository_is_written_without_the_hub() {
    let folder = TempFolder::new();
    let output = init(&folder, &["lab/Base-1.5B@v2/q/Base.Q4_0.gguf", "--device", "cuda:0"]).success();
    let output = output.stdout_contains("unknown      base.q4-0: its shape is unknown before the download");
    assert!(has_time(&output, "unknown"), "{}", output.stdout());
    let output = output.stderr_contains("`dtr sweep base.q4-0.toml --device cuda:0` runs it");
    assert!(!output.stdout().contains("for distil"), "{}", output.stdout());
    let text = fs::read_to_string(folder.path("base.q4-0.toml")).unwrap();
    let source =
        r#"source = { hub = { repo = "lab/Base-1.5B", revision = "v2", file = "q/Base.Q4_0.gguf" } }"#;
    assert!(text.contains("[models.\"base.q4-0\"]") && text.contains(source), "{text}");
    assert!(text.contains("dtype = \"bf16\"") && text.contains("sequence-length = 512"), "{text}");
    assert!(text.contains("HuggingFaceFW/fineweb-edu"), "{text}");
}

#[test]
fn a_wrong_argument_is_refused_and_no_manifest_is_written() {
    let folder = TempFolder::new();
    folder.write("weights.bin", "no model");
    folder.write("empty/notes.txt", "no model");
    let base = repository_root().join("models/mini").display().to_string();
    let hint = "`OWNER/NAME@REVISION` or `OWNER/NAME/FILE.gguf`";
    refused(&folder, &["absent"], &["cannot find the base `absent`: it is no file", hint]);
    refused(&folder, &["./a/b"], &["cannot find the base `./a/b`", hint]);
    refused(&folder, &["absent/model.gguf"], &["cannot find the base `absent/model.gguf`", hint]);
    refused(&folder, &["weights.bin"], &["it is a file that does not end in `.gguf`", hint]);
    refused(&folder, &["empty"], &["the directory has no `config.json`", hint]);
    refused(
        &folder,
        &[&base, "--task", "boolqq"],
        &["cannot find the task `boolqq`", "`pubmedqa`", "did you mean `boolq`?"],
    );
    refused(
        &folder,
        &[&base, "--task", "rows.jsonl"],
        &["cannot find the task `rows.jsonl`", "choose one of `arc-easy`"],
    );
    refused(
        &folder,
        &[&base, "--corpus", "absent.txt"],
        &["cannot read the corpus file `absent.txt`: there is no such file"],
    );
    // The corpus has no column `text`, so the plan of the manifest fails.
    folder.write("corpus.jsonl", "{\"body\": \"the lamp\"}\n");
    refused(&folder, &[&base, "--corpus", "corpus.jsonl"], &["has no column `text`"]);
}

fn hub_project() -> HubProject {
    let mut all = repositories();
    all.insert("datasets/HuggingFaceFW/fineweb-edu".to_owned(), Default::default());
    HubProject::with_repositories(all)
}

/// Creates the command `dtr init` in the folder of a project, with the server in place of the hub.
fn hub_init(project: &HubProject, arguments: &[&str]) -> DtrCommand {
    let command = DtrCommand::new("init").args(arguments).current_dir(project.folder.root());
    ["HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"]
        .iter()
        .fold(command, |command, name| command.without_env(name))
        .env("HF_HOME", project.folder.path("home"))
        .env("HF_ENDPOINT", &project.server.endpoint)
}
