//! What the targets fuzz that take the whole crate, burn and polars with it.
//!
//! A function here takes the bytes of a file and must come back, whatever they are; an error must be shown, and name
//! the file.

use std::fs;
use std::path::Path;

use dtr::data::files::each_document;
use dtr::data::{Split, items};
use dtr::device::Choice;
use dtr::manifest::{FileCorpus, Task, TaskSource};
use dtr_core::error::Result;
use dtr_model::{Base, Model, Tokenizer};
use tempfile::TempDir;

/// A good model, whose files are replaced one by one.
const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tasks/model");

/// A folder of this thread that ends with the process.
fn folder(fill: impl FnOnce(&Path)) -> &'static Path {
    thread_local! {
        static FOLDER: std::cell::OnceCell<TempDir> = const { std::cell::OnceCell::new() };
    }
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            fill(folder.path());
            folder
        });
        Box::leak(folder.path().to_owned().into_boxed_path())
    })
}

/// An error must render, and name `name`, whatever it says.
fn shown<T>(result: Result<T>, name: &str) {
    let Err(error) = result else { return };
    let mut text = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_wrap_lines(false)
        .render_report(&mut text, &error)
        .expect("an error can be shown");
    assert!(text.contains(name), "{text}");
    assert!(text.len() < 20_000, "{} bytes", text.len());
}

/// A file that is, or is not, a tokenizer; what reads must be usable, or say that it is not.
pub fn read_tokenizer(bytes: &[u8]) {
    let path = folder(|_| {}).join("tokenizer.json");
    fs::write(&path, bytes).expect("a file");
    let tokenizer = match Tokenizer::read(&path) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return shown(Err::<(), _>(error), "tokenizer.json"),
    };
    let _ = tokenizer.encode("some text, é 12\n", true).and_then(|tokens| tokenizer.decode(&tokens));
    let _ = (tokenizer.unknown(), tokenizer.vocab_size(), tokenizer.to_json());
}

/// A file of Parquet as rows of a task, and as documents of a corpus.
pub fn read_parquet(bytes: &[u8]) {
    let path = folder(|_| {}).join("rows.parquet");
    fs::write(&path, bytes).expect("a file");
    let name = path.display().to_string();
    shown(items(&task(&name), Split::Test), "rows.parquet");
    for column in ["text", "question"] {
        let corpus = FileCorpus {
            paths: vec![name.clone()],
            column: column.to_owned(),
            document: Default::default(),
            separator: String::new(),
        };
        shown(each_document(&corpus, &mut |_| Ok(())), "rows.parquet");
    }
}

/// A task over the rows of `path` whose templates ask nothing of them.
fn task(path: &str) -> Task {
    let source = format!(
        "source = {{ file = {{ test = {path:?}, splits = \"as-published\", prompt = \"q\", label = \"0\", choices = {{ fixed = [\"a\", \"b\"] }} }} }}"
    );
    let task: Task = toml::from_str(&source).expect("a task");
    assert!(matches!(task.source, TaskSource::File(_)));
    task
}

/// The files of a model that are replaced.
const FILES: [&str; 4] = ["config.json", "tokenizer_config.json", "model.safetensors", "tokenizer.json"];

/// A directory of a model of which one file is replaced, as the first byte says.
pub fn read_import(bytes: &[u8]) {
    let (kind, bytes) = bytes.split_first().map_or((0, bytes), |(kind, rest)| (*kind, rest));
    let name = FILES[usize::from(kind) % FILES.len()];
    let copy = |folder: &Path| {
        for name in FILES {
            fs::copy(Path::new(GOOD).join(name), folder.join(name)).expect("a file");
        }
    };
    let folder = folder(copy);
    fs::write(folder.join(name), bytes).expect("a file");
    let looked = Base::tokenizer(folder).and_then(|_| Base::check(folder));
    let device = Choice::Cpu.open().expect("a processor");
    let read = Model::read(folder, &device).map(drop);
    fs::copy(Path::new(GOOD).join(name), folder.join(name)).expect("a file");
    // Of a config that disagrees with the weights either may be named.
    let of = folder.display().to_string();
    shown(looked, &of);
    shown(read, &of);
}
