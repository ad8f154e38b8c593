//! The functions that the fuzz targets call. Each function takes the bytes of a file and reads this file as
//! the program does.
//!
//! No input may make a reader panic or hang. The rendered text of each error must name the file.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dtr::algorithms::score::ScoreResult;
use dtr::data::documents::for_each_document;
use dtr::data::{FileCorpus, Task};
use dtr::data::{Split, load_items};
use dtr::manifest::load_manifest;
use dtr::store::{CellId, Lookup, RecordArchive, StageName, Store};
use dtr_core::error::Result;
use dtr_core::files::Digest;
use dtr_model::{BaseModel, LoadedModel, SafetensorsReader, Tokenizer};
use safetensors::SafeTensors;
use tempfile::TempDir;

/// The folder of a valid model. [`read_model`] reads copies of it in which one file is replaced.
const VALID_MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tasks/model");

/// The files that [`read_model`] can replace.
const MODEL_FILES: [&str; 4] =
    ["config.json", "tokenizer_config.json", "model.safetensors", "tokenizer.json"];

/// The longest error message that is accepted, in bytes.
const MAX_MESSAGE_BYTES: usize = 20_000;

/// Returns this thread's temporary folder, which is removed at the end of the process.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
    }
    let create = || tempfile::tempdir().expect("a temporary folder can be created");
    FOLDER.with(|folder| folder.get_or_init(create).path().to_owned())
}

/// Writes a file, and the folders above it, into this thread's folder.
fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().expect("a file has a parent")).expect("a folder can be created");
    fs::write(&path, bytes).expect("a file can be written");
    path
}

/// If `result` is an error, asserts that the rendered error contains `name` and is not too long.
fn check_error<T>(result: Result<T>, name: &str) {
    let Err(error) = result else { return };
    let mut text = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_wrap_lines(false)
        .render_report(&mut text, &error)
        .expect("an error can be rendered");
    assert!(text.contains(name), "{text}");
    assert!(text.len() < MAX_MESSAGE_BYTES, "{} bytes", text.len());
}

/// Reads a manifest.
pub fn read_manifest(bytes: &[u8]) {
    check_error(load_manifest(&write("manifest.toml", bytes), &[]), "manifest.toml");
}

/// Reads a record of the store. An accepted record must have the key of its path.
pub fn read_record(bytes: &[u8]) {
    let key = "1bcaac96be2ad822048df098eb9c7e3ae4bf27435c121501a094c3448e90de15".parse().expect("a key");
    let cell = CellId { stage: StageName::new("score"), key };
    // An input that begins with a brace is the whole record. From any other input, this function drops the
    // first byte, and makes the other bytes the body of a record. It adds a valid digest, because a fuzzer
    // does not find one by chance.
    let sealed = match bytes.split_first() {
        Some((b'{', _)) | None => bytes.to_vec(),
        Some((_, body)) => {
            let digest = Digest::hash(body);
            [format!("{{\"digest\":\"{digest}\",\n\"body\":").as_bytes(), body, b"}\n"].concat()
        }
    };
    let results = folder().join("results");
    let store = Store::open(&results).expect("a folder of results");
    write(&store.cell_folder(&cell).record_path().display().to_string(), &sealed);
    match store.find::<ScoreResult>(&cell) {
        Ok(Lookup::Corrupt { reason, .. }) => assert!(!reason.is_empty()),
        Ok(Lookup::Missing) => panic!("the store does not find the record"),
        Ok(Lookup::Done(record)) => assert_eq!(record.spec.id, cell),
        Ok(Lookup::Failed(record)) => assert_eq!(record.spec.id, cell),
        Err(error) => check_error(Err::<(), _>(error), "record.json"),
    }
}

/// Reads the decompressed lines of an archive of records, and looks the records up.
pub fn read_archive(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let name = "fuzzed.jsonl.xz";
    let archive = RecordArchive::from_lines(Path::new(name), text.lines().map(str::to_owned).collect());
    let Ok(archive) = archive else { return check_error(archive, name) };
    check_error(archive.header::<toml::Table>(), name);
    let store = Store::from_archive(Path::new("results"), archive);
    for cell in store.list_cells().expect("the cells of an archive can be listed") {
        check_error(store.find::<ScoreResult>(&cell), name);
    }
}

/// Reads a JSON file as rows of a task and as documents of a corpus.
///
/// The first byte selects the format (JSON Lines or a JSON list) and the compression.
pub fn read_rows(bytes: &[u8]) {
    let (kind, bytes) = bytes.split_first().map_or((0, bytes), |(kind, rest)| (kind % 8, rest));
    let compression = ["", ".gz", ".xz", ".zst"][usize::from(kind / 2)];
    let format = if kind % 2 == 1 { "json" } else { "jsonl" };
    read_table(&write(&format!("rows.{format}{compression}"), bytes));
}

/// Reads a Parquet file as rows of a task and as documents of a corpus.
pub fn read_parquet(bytes: &[u8]) {
    read_table(&write("rows.parquet", bytes));
}

/// Reads a file as documents of a corpus and as rows of a task.
fn read_table(path: &Path) {
    let file = path.display().to_string();
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    check_error(load_items(&task(&file), Split::Test), &name);
    for column in ["text", "question"] {
        let corpus = FileCorpus {
            paths: vec![file.clone()],
            column: column.to_owned(),
            document: Default::default(),
            separator: String::new(),
        };
        check_error(for_each_document(&corpus, &mut |_| Ok(())), &name);
    }
}

/// Returns a task over the rows of `file`. The task's templates use no column. A hash of all columns decides
/// to which split a row belongs.
fn task(file: &str) -> Task {
    let source = format!(
        "source = {{ file = {{ test = {file:?}, prompt = \"q\", label = \"0\", \
         choices = {{ fixed = [\"a\", \"b\"] }} }} }}"
    );
    toml::from_str(&source).expect("a task")
}

/// Reads a safetensors file that is built from the input. The first two bytes of the input are the number of
/// bytes of tensor values, which are all 0. The rest of the input is the header.
///
/// If [`SafetensorsReader`] accepts the file, the `safetensors` crate must accept it too, and the tensors
/// must fill the file.
pub fn read_weights(bytes: &[u8]) {
    let (num_bytes, text) = bytes.split_at(bytes.len().min(2));
    let num_bytes = num_bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    let prefix = (text.len() as u64).to_le_bytes();
    let file = [&prefix, text, &vec![0; num_bytes]].concat();
    let path = write("weights.safetensors", &file);
    let checkpoint = SafetensorsReader::open(&[path], &Device::flex());
    if checkpoint.is_err() {
        return check_error(checkpoint, "weights.safetensors");
    }
    let (_, metadata) = SafeTensors::read_metadata(&file).expect("the `safetensors` crate reads the header");
    let mut ranges: Vec<_> = metadata.tensors().into_values().map(|info| info.data_offsets).collect();
    ranges.sort_unstable();
    let end = ranges.into_iter().fold(0, |end, (start, stop)| {
        assert_eq!(start, end, "tensors are contiguous");
        stop
    });
    assert_eq!(end, num_bytes, "tensors fill the file");
}

/// Reads a tokenizer. An accepted tokenizer must encode and decode a text without a panic.
pub fn read_tokenizer(bytes: &[u8]) {
    match Tokenizer::read(&write("tokenizer.json", bytes)) {
        Ok(tokenizer) => {
            let _ = tokenizer.encode("some text, é 12\n", true).and_then(|tokens| tokenizer.decode(&tokens));
            let _ = (tokenizer.unknown_token(), tokenizer.vocab_size(), tokenizer.to_json());
        }
        Err(error) => check_error(Err::<(), _>(error), "tokenizer.json"),
    }
}

/// Reads a GGUF file: its configuration, its tokenizer and its weights.
pub fn read_gguf(bytes: &[u8]) {
    let path = write("model.gguf", bytes);
    check_error(BaseModel::read_config(&path), "model.gguf");
    match BaseModel::read_tokenizer(&path) {
        Ok(tokenizer) => {
            let _ = tokenizer.encode("some text, é 12\n", true).and_then(|tokens| tokenizer.decode(&tokens));
        }
        Err(error) => check_error(Err::<(), _>(error), "model.gguf"),
    }
    check_error(BaseModel::check_weights(&path), "model.gguf");
    check_error(LoadedModel::read(&path, &Device::flex()), "model.gguf");
}

/// Reads a model directory in which one file is replaced by the input. The first byte selects the file.
pub fn read_model(bytes: &[u8]) {
    let (kind, bytes) = bytes.split_first().map_or((0, bytes), |(kind, rest)| (*kind, rest));
    let replaced = MODEL_FILES[usize::from(kind) % MODEL_FILES.len()];
    for name in MODEL_FILES {
        let original = fs::read(Path::new(VALID_MODEL).join(name)).expect("a file of the valid model");
        write(&format!("model/{name}"), if name == replaced { bytes } else { &original });
    }
    let model = folder().join("model");
    // If the config contradicts the weights, the error may name either file.
    let name = model.display().to_string();
    check_error(BaseModel::read_tokenizer(&model).and_then(|_| BaseModel::check_weights(&model)), &name);
    check_error(LoadedModel::read(&model, &Device::flex()), &name);
}
