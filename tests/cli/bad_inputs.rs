//! Tests of invalid files and arguments. The program ends with code 2 or 5 and one message. If it finds the
//! fault before a sweep starts, it writes no file.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::dtr_command::DtrCommand;
use crate::project::repository_root;
use crate::temp_folder::TempFolder;
use crate::tiny_model::TinyModel;

/// Creates a command that runs in `folder`, without the network and with its own hub cache.
pub fn dtr(folder: &TempFolder, arguments: &[&str]) -> DtrCommand {
    let (name, arguments) = arguments.split_first().unwrap();
    let command = DtrCommand::new(name).args(arguments).current_dir(folder.root());
    command.env("HF_HOME", folder.path("home")).env("HF_HUB_OFFLINE", "1")
}

/// Checks that a command ends with `code` and creates no file. Its message must contain all of `texts`.
fn check_refused(folder: &TempFolder, arguments: &[&str], code: i32, texts: &[&str]) {
    let before = names(folder.root());
    let output = dtr(folder, arguments).exit(code);
    let message = output.stderr();
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    for text in texts {
        assert!(message.contains(text), "{arguments:?}: the message lacks `{text}`: {message}");
    }
    assert_eq!(names(folder.root()), before, "{arguments:?} created a file");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A manifest with a base in the folder `base` and a task over the rows of `rows.jsonl`.
pub const MANIFEST: &str = r#"name = "a"
[models.base]
source = { path = "base" }
[tasks.own.source.file]
test = "rows.jsonl"
splits = "as-published"
prompt = "{{ said }} where is the lamp? in the"
choices = { fixed = ["kitchen", "garden"] }
label = "room"
[sweep]
model = ["base"]
task = ["own"]
"#;

const ROWS: &str = "{\"said\": \"the lamp is in the kitchen.\", \"room\": 0}\n";

/// The name of a file, its new content (`None` removes the file), the exit code, and texts of the message.
type BadFile<'a> = (&'a str, Option<&'a [u8]>, i32, &'a [&'a str]);

/// Creates a folder with a valid manifest, its base and its rows.
pub fn valid_folder() -> TempFolder {
    let model = TinyModel::new();
    let folder = TempFolder::new();
    folder.write("main.toml", MANIFEST);
    folder.write("rows.jsonl", ROWS);
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        folder.write(&format!("base/{name}"), fs::read(model.folder.path(name)).unwrap());
    }
    folder
}

#[test]
fn an_invalid_file_ends_a_sweep_before_it_starts() {
    let folder = valid_folder();
    dtr(&folder, &["plan", "main.toml"]).success();
    let weights = fs::read(folder.path("base/model.safetensors")).unwrap();
    let config = fs::read_to_string(folder.path("base/config.json")).unwrap();
    let wide = config.replace("\"intermediate_size\": 16", "\"intermediate_size\": 32");
    let huge = config.replace("\"intermediate_size\": 16", "\"intermediate_size\": 4611686018427387904");
    let pickle = "{\"weight_map\": {\"a\": \"pytorch_model.bin\"}}";
    let files: [BadFile<'_>; 23] = [
        ("main.toml", Some(b"name = "), 2, &["main.toml"]),
        ("main.toml", Some(b"name = \"\xff\""), 5, &["main.toml", "line 1 is not UTF-8"]),
        ("main.toml", Some(b""), 2, &["main.toml", "name"]),
        ("main.toml", None, 5, &["main.toml"]),
        ("rows.jsonl", Some(b"{\"said\": 1"), 2, &["line 1 of `rows.jsonl`"]),
        ("rows.jsonl", Some(b"\xff\xfe"), 2, &["line 1 of `rows.jsonl`"]),
        ("rows.jsonl", Some(b""), 2, &["rows.jsonl"]),
        (
            "rows.jsonl",
            Some(b"{\"said\": \"the lamp\", \"room\": 7}"),
            2,
            &["row 1 of `rows.jsonl`", "label 7"],
        ),
        ("rows.jsonl", Some(b"{\"said\": \"zebra\", \"room\": 0}"), 2, &["own", "does not know all words"]),
        ("rows.jsonl", None, 5, &["rows.jsonl"]),
        ("base/config.json", Some(b"{"), 5, &["base/config.json"]),
        ("base/config.json", Some(b"{\"model_type\": \"mamba\"}"), 5, &["base/config.json", "mamba"]),
        (
            "base/config.json",
            Some(wide.as_bytes()),
            5,
            &["base/model.safetensors", "mlp.gate_proj.weight", "shape"],
        ),
        ("base/config.json", Some(huge.as_bytes()), 5, &["base/config.json", "intermediate_size"]),
        ("base/config.json", None, 5, &["base/config.json"]),
        ("base/tokenizer.json", Some(b"{}"), 5, &["base/tokenizer.json"]),
        ("base/tokenizer.json", None, 5, &["base/tokenizer.json"]),
        (
            "base/model.safetensors",
            Some(&weights[..weights.len() - 1]),
            5,
            &["base/model.safetensors", "its header describes"],
        ),
        ("base/model.safetensors", Some(&[255; 64]), 5, &["base/model.safetensors", "claims"]),
        ("base/model.safetensors", Some(b""), 5, &["base/model.safetensors", "0 bytes"]),
        ("base/model.safetensors", None, 5, &["`base` has no weights"]),
        ("base/pytorch_model.bin", Some(b"\x80\x02"), 5, &["pytorch_model.bin", "is a pickle", "convert"]),
        (
            "base/model.safetensors.index.json",
            Some(pickle.as_bytes()),
            5,
            &["pytorch_model.bin", "is a pickle"],
        ),
    ];
    for (name, bytes, code, texts) in files {
        let folder = valid_folder();
        match bytes {
            Some(bytes) => drop(folder.write(name, bytes)),
            None => fs::remove_file(folder.path(name)).unwrap(),
        }
        if name.contains("index") || name.contains("pytorch") {
            fs::remove_file(folder.path("base/model.safetensors")).unwrap();
        }
        for command in ["sweep", "plan"] {
            check_refused(&folder, &[command, "main.toml"], code, texts);
        }
    }
}

/// Writes a manifest whose twins are distilled on the texts of `file`.
fn write_distillation(folder: &TempFolder, file: &str) {
    let more = format!(
        "[variants.gla]\nblock = {{ gla = {{}} }}\n[corpus.source.files]\npaths = [\"{file}\"]\n\
         [distil]\ntoken-budget = 64\nsequence-length = 16\nbatch-size = 2\n"
    );
    folder.write("main.toml", MANIFEST.replace("[sweep]\n", "[sweep]\nvariant = [\"gla\"]\n") + &more);
}

const TEXT: &str = "{\"text\": \"the lamp is in the kitchen.\"}\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    compressed.write_all(bytes).unwrap();
    compressed.finish().unwrap()
}

#[test]
fn a_corpus_with_a_fault_at_the_beginning_ends_a_sweep_before_it_starts() {
    let parquet = fs::read(repository_root().join("tests/fixtures/tasks/science.parquet")).unwrap();
    let files: [BadFile<'_>; 12] = [
        ("text.jsonl", None, 5, &["text.jsonl"]),
        ("text.jsonl", Some(b"{\"text\": 7}\n"), 2, &["line 1 of `text.jsonl` holds a number in `text`"]),
        (
            "text.jsonl",
            Some(b"{\"body\": \"the lamp\"}\n"),
            2,
            &["line 1 of `text.jsonl` has no column `text`"],
        ),
        ("text.jsonl", Some(b"\xff\xfe\n"), 2, &["line 1 of `text.jsonl` is not UTF-8"]),
        ("text.jsonl", Some(b"7\n"), 2, &["line 1 of `text.jsonl` is not a JSON object"]),
        ("text.json", Some(b"[{\"text\": \"the lamp\""), 2, &["`text.json` is not a JSON list of objects"]),
        ("text.txt", Some(b"the lamp\xc3\n"), 2, &["line 1 of `text.txt` is not UTF-8"]),
        ("text.jsonl.gz", Some(TEXT.as_bytes()), 5, &["text.jsonl.gz", "damaged or cut off"]),
        ("text.jsonl.xz", Some(TEXT.as_bytes()), 5, &["text.jsonl.xz", "damaged or cut off"]),
        ("text.jsonl.zst", Some(TEXT.as_bytes()), 5, &["text.jsonl.zst", "damaged or cut off"]),
        ("text.parquet", Some(TEXT.as_bytes()), 5, &["`text.parquet` is not a valid Parquet file"]),
        ("text.parquet", Some(&parquet), 2, &["`text.parquet` has no column `text`"]),
    ];
    for (name, bytes, code, texts) in files {
        let folder = valid_folder();
        write_distillation(&folder, name);
        bytes.map(|bytes| folder.write(name, bytes));
        for command in ["sweep", "plan"] {
            check_refused(&folder, &[command, "main.toml"], code, texts);
        }
    }
}

/// A fault in a cell's input is not a failure of the cell.
#[test]
fn a_corpus_with_a_fault_further_on_ends_the_sweep_and_fails_no_cell() {
    let long = [TEXT.repeat(5_000), "{\"text\": 7}\n".to_owned()].concat();
    let compressed =
        gzip(format!("{}{TEXT}", "{\"text\": \"the lamp is in the garden.\"}\n".repeat(99_999)).as_bytes());
    let files: [BadFile<'_>; 4] = [
        ("text.jsonl", Some(long.as_bytes()), 2, &["line 5001 of `text.jsonl` holds a number in `text`"]),
        (
            "text.jsonl.gz",
            Some(&compressed[..compressed.len() - 9]),
            5,
            &["text.jsonl.gz", "damaged or cut off"],
        ),
        ("text.txt", Some(b"lamp"), 2, &["tokens, fewer than one sequence of 16"]),
        ("text.txt", Some(b" \n\n"), 2, &["the files of the corpus hold no document"]),
    ];
    for (name, bytes, code, texts) in files {
        let folder = valid_folder();
        write_distillation(&folder, name);
        bytes.map(|bytes| folder.write(name, bytes));
        let message = dtr(&folder, &["sweep", "main.toml"]).exit(code).stderr();
        assert!(!message.contains("panicked"), "{name}: {message}");
        assert!(texts.iter().all(|text| message.contains(text)), "{name}: {message}");
        let counts = dtr(&folder, &["status", "main.toml"]).json();
        assert!(
            counts["stages"].as_array().unwrap().iter().all(|stage| stage["failed"] == 0),
            "{name}: {counts}"
        );
        // A plan reads only the beginning of a corpus.
        dtr(&folder, &["plan", "main.toml"]).success();
    }
}

#[test]
fn a_dtype_that_the_device_lacks_ends_a_sweep_before_it_starts() {
    let folder = valid_folder();
    let set = r#"models.base.dtype="bf16""#;
    check_refused(&folder, &["sweep", "main.toml", "--set", set], 5, &["needs a GPU", "--device cuda:0"]);
    let shape = "models.base.source={ pretrain = { hidden-size = 16, intermediate-size = 16, num-layers = 2, num-heads = 2, \
                 num-kv-heads = 1, head-dim = 8 } }";
    let sets = ["--set", shape, "--set", "pretrain.mixed-precision=true"];
    let arguments = [&["sweep", "main.toml"][..], &sets].concat();
    check_refused(&folder, &arguments, 5, &["`mixed-precision = true` needs a GPU", "--device cuda:0"]);
}

#[test]
fn invalid_arguments_end_with_code_2() {
    let folder = valid_folder();
    for (arguments, text) in [
        (&["sweep"][..], "MANIFEST"),
        (&["sweep", "main.toml", "--set"], "--set"),
        (&["sweep", "main.toml", "--set", "distil.seed"], "--set"),
        (&["sweep", "main.toml", "--set", "distil.seed=-1"], "distil.seed"),
        (&["sweep", "main.toml", "--set", "distil.token-budget=nan"], "token-budget"),
        (&["sweep", "main.toml", "--set", "models.base.source={ hub = { repo = \"../x\" } }"], "repo"),
        (
            &["sweep", "main.toml", "--set", "tasks.own.source.file.test=\"hf://a/b/../../c.jsonl\""],
            "hf://a/b/../../c.jsonl",
        ),
        (&["sweep", "main.toml", "--set", "sweep.model=[]"], "model"),
        (&["sweep", "main.toml", "--device", "cuda:x"], "cuda:x"),
        (&["sweep", "main.toml", "--frobnicate"], "--frobnicate"),
        (&["frobnicate"], "frobnicate"),
        (&["show", "../../etc/passwd"], "../../etc/passwd"),
        (&["generate", "base", "x", "--temperature", "nan"], "--temperature"),
        (&["generate", "base", "x", "--temperature=-1"], "--temperature"),
        (&["generate", "base", "x", "--top-p", "0"], "--top-p"),
        (&["generate", "base", "x", "--max-tokens=-1"], "--max-tokens"),
        (&["generate", "base", "x", "--seed", "4294967296"], "--seed"),
    ] {
        check_refused(&folder, arguments, 2, &[text]);
    }
}

#[test]
fn invalid_models_end_a_generation_with_code_5() {
    for (name, bytes) in [
        ("config.json", &b"[]"[..]),
        ("config.json", b"\xff"),
        ("tokenizer.json", b"null"),
        ("model.safetensors", b"PK\x03\x04zipzip"),
        ("generation_config.json", b"{"),
    ] {
        let folder = valid_folder();
        folder.write(&format!("base/{name}"), bytes);
        check_refused(&folder, &["generate", "base", "where is the lamp?"], 5, &[&format!("base/{name}")]);
    }
    let folder = valid_folder();
    check_refused(&folder, &["generate", "nowhere", "x"], 5, &["nowhere"]);
    folder.write("results", "a file");
    check_refused(&folder, &["sweep", "main.toml"], 5, &["`results` is a file, not a results folder"]);
}
