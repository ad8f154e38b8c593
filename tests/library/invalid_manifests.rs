//! Manifests with invalid values, unknown keys or missing keys are refused. Files that are not manifests are
//! refused too.

use dtr::manifest::load_manifest;
use toml::{Table, Value};

use crate::refusals::Refusals;
use crate::temp_folder::TempFolder;

/// A valid manifest that uses most keys.
const FULL_MANIFEST: &str = r#"
name = "full"
question = "?"
[models.mini]
source = { path = "models/mini" }
[models.hub.source.hub]
repo = "lab/mini"
revision = "main"
config = "config.json"
[models.new.source.pretrain]
hidden-size = 64
intermediate-size = 128
num-layers = 2
num-heads = 4
num-kv-heads = 2
head-dim = 16
[models.shape.source]
shape = "config.json"
[variants.gla]
init = "copy"
block = { gla = { gate-low-rank-dim = 16, gate-logit-normalizer = 16.0 } }
[variants.gla.geometry]
num-heads = 4
num-kv-heads = 2
key-dim = 8
value-dim = 8
rope = false
output-gate = true
[variants.gdn.block.gdn]
conv-size = 4
allow-neg-eigval = false
[variants.jet.block.jet]
conv-size = 4
generator-reduction = 8
[tasks.recall.source.synthetic]
kind = "recall"
language-seed = 1
validation-items = 8
test-items = 8
[tasks.own.source.file]
validation = "a.jsonl"
test = "b.jsonl"
splits = "held-out"
validation-items = 8
test-items = 8
prompt = "{{ question }}"
continuation = "{{ choice }}"
choices = { fixed = ["a", "b"] }
label = "label"
metric = "acc"
[tasks.other.source.file]
test = "b.jsonl"
prompt = "{{ question }}"
choices = { each = "texts" }
label = "label"
[[corpus.source.mixture]]
weight = 0.5
source = { synthetic = { language-seed = 1, seed = 2 } }
[[corpus.source.mixture]]
weight = 0.5
source = { files = { paths = ["a.txt"], column = "text", document = "line", separator = "" } }
[distil]
token-budget = 1000000
sequence-length = 64
batch-size = 8
seed = 1
[distil.optimizer]
learning-rate = 0.001
final-fraction = 0.1
warmup-fraction = 0.1
betas = [0.9, 0.95]
epsilon = 1e-8
weight-decay = 0.1
clip = 1.0
[search]
strategy = { beam = { width = 2 } }
stop = { max-relative-drop = 0.05 }
earlier-stops = { max-relative-drops = [0.01], replaced-layers = [1] }
prune = true
[pretrain]
token-budget = 1000000
sequence-length = 64
batch-size = 8
micro-batch-size = 4
seed = 1
[pretrain.optimizer]
learning-rate = 0.001
final-fraction = 0.1
warmup-fraction = 0.1
betas = [0.9, 0.95]
epsilon = 1e-8
weight-decay = 0.1
clip = 1.0
[sweep]
model = ["mini"]
variant = ["gla", "gdn"]
task = ["recall"]
[sweep.axes]
"distil.batch-size" = [8, 16]
[[sweep.exclude]]
model = "mini"
variant = "gdn"
task = "recall"
[throughput]
contexts = [128, 256]
batch-sizes = [1, 2]
replaced = { every = 2 }
new-tokens = 8
prefill-chunk = 128
warm-up = 1
repeats = 2
[report]
title = "T"
confidence = 0.95
"#;

/// Checks that a manifest is refused by an error that names its file and contains all of `texts`.
fn check_manifest(refusals: &mut Refusals, case: &str, texts: &[&str], manifest: impl AsRef<[u8]>) {
    let folder = TempFolder::new();
    let path = folder.write("main.toml", manifest);
    refusals.check(case, &[&["main.toml"], texts].concat(), || load_manifest(&path, &[]));
}

/// Returns values that are invalid in place of `value`: values of other types, and numbers out of range.
fn invalid_values(value: &Value) -> Vec<Value> {
    let table = || Value::Table(Table::from_iter([("unknown".to_owned(), Value::Integer(1))]));
    let list = || Value::Array(vec![Value::Array(vec![Value::Boolean(true)])]);
    let word = || Value::String("unknown".to_owned());
    match value {
        Value::Integer(_) => {
            vec![
                word(),
                Value::Integer(-1),
                Value::Float(1.5),
                Value::Float(f64::NAN),
                Value::Boolean(true),
                list(),
                table(),
                Value::Integer(i64::MAX),
            ]
        }
        Value::Float(_) => {
            let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300].map(Value::Float);
            [&numbers[..], &[word(), Value::Boolean(true), list(), table()]].concat()
        }
        Value::Boolean(_) => vec![word(), Value::Integer(1), Value::Float(0.5), list(), table()],
        Value::String(_) => {
            vec![Value::Integer(-1), Value::Float(f64::NAN), Value::Boolean(true), list(), table()]
        }
        Value::Array(_) => vec![word(), Value::Integer(-1), Value::Boolean(true), list(), table()],
        Value::Table(_) => vec![word(), Value::Integer(-1), Value::Boolean(true), list()],
        Value::Datetime(_) => Vec::new(),
    }
}

/// Adds the paths of all entries of `value` to `found`. A path consists of table keys and list indices.
fn entry_paths(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let mut descend = |step: String, value: &Value| {
        let path = [path, &[step]].concat();
        found.push(path.clone());
        entry_paths(value, &path, found);
    };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| descend(key.clone(), value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| descend(at.to_string(), value)),
        _ => {}
    }
}

fn entry_mut<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, step| match value {
        Value::Array(list) => &mut list[step.parse::<usize>().unwrap()],
        value => &mut value[step.as_str()],
    })
}

/// Returns the last table key of a path. An error about the entry must contain this key.
fn last_key(path: &[String]) -> &str {
    path.iter().rev().find(|step| step.parse::<usize>().is_err()).map_or("", String::as_str)
}

#[test]
fn every_key_refuses_values_of_other_types_and_out_of_range() {
    let full: Value = Value::Table(FULL_MANIFEST.parse().unwrap());
    let folder = TempFolder::new();
    load_manifest(&folder.write("main.toml", FULL_MANIFEST), &[]).expect("the unchanged manifest is refused");
    let mut all = Vec::new();
    entry_paths(&full, &[], &mut all);
    let mut refusals = Refusals::default();
    for path in &all {
        let mut manifest = full.clone();
        let invalid = invalid_values(entry_mut(&mut manifest, path));
        for value in invalid {
            *entry_mut(&mut manifest, path) = value.clone();
            check_manifest(
                &mut refusals,
                &format!("{path:?} = {value}"),
                &[last_key(path)],
                toml::to_string(&manifest).unwrap(),
            );
        }
    }
    refusals.finish(500);
}

#[test]
fn every_table_refuses_an_unknown_key() {
    let full: Value = Value::Table(FULL_MANIFEST.parse().unwrap());
    let mut all = vec![Vec::new()];
    entry_paths(&full, &[], &mut all);
    let mut refusals = Refusals::default();
    for path in &all {
        let mut manifest = full.clone();
        let Value::Table(table) = entry_mut(&mut manifest, path) else { continue };
        table.insert("unknown".to_owned(), Value::Integer(1));
        check_manifest(
            &mut refusals,
            &format!("{path:?}"),
            &["unknown"],
            toml::to_string(&manifest).unwrap(),
        );
    }
    refusals.finish(30);
}

#[test]
fn every_required_key_is_asked_for() {
    let full: Value = Value::Table(FULL_MANIFEST.parse().unwrap());
    let mut refusals = Refusals::default();
    for path in [
        "name",
        "models.mini.source",
        "models.hub.source.hub.repo",
        "models.new.source.pretrain.hidden-size",
        "models.new.source.pretrain.intermediate-size",
        "models.new.source.pretrain.num-layers",
        "models.new.source.pretrain.num-heads",
        "models.new.source.pretrain.num-kv-heads",
        "models.new.source.pretrain.head-dim",
        "variants.gla.block",
        "variants.gla.block.gla",
        "tasks.recall.source",
        "tasks.recall.source.synthetic.kind",
        "tasks.own.source.file.test",
        "tasks.own.source.file.prompt",
        "tasks.own.source.file.choices",
        "tasks.own.source.file.label",
        "corpus.source.mixture.0.weight",
        "corpus.source.mixture.1.source",
        "corpus.source.mixture.1.source.files.paths",
        "search.strategy.beam.width",
        "sweep.model",
        "sweep.task",
        "models.mini",
        "tasks.recall",
        "variants.gla",
    ] {
        let mut manifest = full.clone();
        let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
        let (last, table) = steps.split_last().unwrap();
        entry_mut(&mut manifest, table).as_table_mut().unwrap().remove(last);
        // Without its key `gla`, the table `variants.gla.block` names no kind of block. The error names
        // `block`.
        let key = if last == "gla" && table.len() == 3 { "block" } else { last };
        check_manifest(&mut refusals, path, &[key], toml::to_string(&manifest).unwrap());
    }
    refusals.finish(26);
}

#[test]
fn a_file_that_is_no_manifest_is_refused() {
    let mut refusals = Refusals::default();
    let texts: [(&str, Vec<u8>, &str); 14] = [
        ("not UTF-8", b"name = \"a\"\nquestion = \"\xff\xfe\"\n".to_vec(), "line 2 is not UTF-8"),
        ("UTF-16", b"\xff\xfen\0a\0m\0e\0".to_vec(), "line 1 is not UTF-8"),
        ("NUL", b"name = \"a\"\n\0\0\0".to_vec(), "cannot read"),
        ("nothing", Vec::new(), "name"),
        ("a BOM and nothing", b"\xef\xbb\xbf".to_vec(), "name"),
        ("two BOMs", b"\xef\xbb\xbf\xef\xbb\xbfname = \"a\"".to_vec(), "cannot read"),
        ("JSON", b"{ \"name\": \"a\" }".to_vec(), "cannot read"),
        ("deep lists", ["a = ", &"[".repeat(50_000)].concat().into_bytes(), "cannot read"),
        ("deep tables", ["a = ", &"{ b = ".repeat(50_000)].concat().into_bytes(), "cannot read"),
        ("deep dotted keys", ["a.".repeat(50_000), "a = 1".to_owned()].concat().into_bytes(), "cannot read"),
        (
            "deep mixtures",
            ["corpus = { ", &"source = { mixture = [{ weight = 1, ".repeat(40)].concat().into_bytes(),
            "cannot read",
        ),
        ("17 MiB", vec![b'#'; 17 << 20], "longer than"),
        ("a string without an end", b"name = \"\"\"a\n\n".to_vec(), "cannot read"),
        ("a carriage return", b"name = \"a\"\rquestion = \"b\"".to_vec(), "cannot read"),
    ];
    for (case, text, message) in texts {
        check_manifest(&mut refusals, case, &[message], text);
    }
    refusals.finish(14);
}

#[test]
fn a_setting_that_no_sweep_can_use_is_refused() {
    let mut refusals = Refusals::default();
    let axes: String = (0..9).map(|seed| format!("\"distil.optimizer.betas\" = [{seed}]\n")).collect();
    let many = format!("{}\n", (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    for (case, more, message) in [
        ("the same axis nine times", format!("[sweep.axes]\n{axes}"), "duplicate key"),
        (
            "millions of combinations",
            format!("[sweep.axes]\n\"distil.seed\" = [{many}]\n\"pretrain.seed\" = [{many}]\n"),
            "combinations",
        ),
        ("a long name", format!("name = \"{}\"", "a".repeat(101)), "cannot name an experiment"),
        ("a name with `..`", "name = \"../../x\"".to_owned(), "cannot name an experiment"),
        ("an absolute name", "name = \"/etc/x\"".to_owned(), "cannot name an experiment"),
        ("a repository with `..`", "models.hub.source.hub.repo = \"../../x\"".to_owned(), "repo"),
        ("an absolute repository", "models.hub.source.hub.repo = \"/etc\"".to_owned(), "repo"),
        ("a repository with a host", "models.hub.source.hub.repo = \"a@b:c/d\"".to_owned(), "repo"),
        ("no repository", "models.hub.source.hub.repo = \"\"".to_owned(), "repo"),
        ("a revision with `..`", "models.hub.source.hub.revision = \"../../x\"".to_owned(), "revision"),
        ("a revision with a query", "models.hub.source.hub.revision = \"a?b#c\"".to_owned(), "revision"),
        ("no revision", "models.hub.source.hub.revision = \"\"".to_owned(), "revision"),
        ("no micro-batch", "pretrain.micro-batch-size = 0".to_owned(), "micro-batch-size"),
        (
            "a micro-batch that does not divide the batch",
            "pretrain.micro-batch-size = 3".to_owned(),
            "micro-batch-size",
        ),
        ("a sequence of one token", "pretrain.sequence-length = 1".to_owned(), "sequence-length"),
        ("a negative budget as text", "distil.token-budget = \"-1M\"".to_owned(), "token-budget"),
        ("a budget beyond the largest number", "distil.token-budget = \"1e999M\"".to_owned(), "token-budget"),
        ("no budget", "distil.token-budget = \"\"".to_owned(), "token-budget"),
    ] {
        let folder = TempFolder::new();
        let base = FULL_MANIFEST.split("[sweep.axes]").next().unwrap().replace("name = \"full\"", "");
        folder.write("base.toml", base);
        let name = if more.starts_with("name") { "" } else { "name = \"a\"\n" };
        let path = folder.write("main.toml", format!("extends = [\"base.toml\"]\n{name}{more}"));
        refusals.check(case, &["main.toml", message], || load_manifest(&path, &[]));
    }
    refusals.finish(18);
}

#[test]
fn a_circular_or_missing_extension_is_refused() {
    let mut refusals = Refusals::default();
    for (case, files, message) in [
        ("a file that extends itself", &[("main.toml", "extends = [\"main.toml\"]")][..], "extends itself"),
        (
            "two files that extend each other",
            &[("main.toml", "extends = [\"a.toml\"]"), ("a.toml", "extends = [\"main.toml\"]")],
            "a.toml",
        ),
        ("a folder", &[("main.toml", "extends = [\".\"]")], "cannot read"),
        ("nothing", &[("main.toml", "extends = [\"\"]")], "cannot read"),
        ("a file that is not there", &[("main.toml", "extends = [\"/nowhere/a.toml\"]")], "/nowhere/a.toml"),
        ("a broken file", &[("main.toml", "extends = [\"a.toml\"]"), ("a.toml", "name = ")], "a.toml"),
        ("a file of another kind", &[("main.toml", "extends = [\"a.json\"]"), ("a.json", "{}")], "a.json"),
        ("a table", &[("main.toml", "extends = { a = 1 }")], "extends"),
        ("a number", &[("main.toml", "extends = [1]")], "extends"),
    ] {
        let folder = TempFolder::new();
        for (name, text) in files {
            folder.write(name, text);
        }
        refusals.check(case, &[message], || load_manifest(&folder.path("main.toml"), &[]));
    }
    let chain = TempFolder::new();
    for at in 0..500 {
        chain.write(&format!("{at}.toml"), format!("extends = [\"{}.toml\"]", at + 1));
    }
    refusals
        .check("a chain of 500 files", &["33.toml", "32.toml"], || load_manifest(&chain.path("1.toml"), &[]));
    refusals.check("a folder in place of a manifest", &["cannot read"], || load_manifest(chain.root(), &[]));
    refusals.finish(11);
}
