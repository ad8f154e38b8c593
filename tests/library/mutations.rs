//! Reads thousands of random mutations of valid files. No reader may panic, and each error must name its
//! file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::tensor::Device;
use dtr::algorithms::score::ScoreResult;
use dtr::data::DocumentUnit;
use dtr::manifest::load_manifest;
use dtr::store::{CellId, Lookup, StageName, Store};
use dtr_core::error::Result;
use dtr_core::files::Digest;
use dtr_model::{BaseModel, SafetensorsReader, Tokenizer, read_eos_token_ids};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::reader_helpers::{count_documents, count_rows};
use crate::refusals::render;
use crate::root;
use crate::temp_folder::TempFolder;
use crate::tiny_model::TinyModel;

/// Bytes that break a parser more often than random bytes do.
const DISRUPTIVE_BYTES: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b"\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e999",
    b"nan",
    b"null",
    b"true",
    b"../",
    b"\\u0000",
    b"[[",
    b"\r",
    b"\x80\x80\x80\x80",
];

/// Returns `valid` with one to four random changes.
fn mutate(valid: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..8)).min(bytes.len());
        match rng.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(
                at..end,
                DISRUPTIVE_BYTES[rng.random_range(0..DISRUPTIVE_BYTES.len())].iter().copied(),
            )),
            4 => bytes.truncate(at),
            _ => {
                let piece = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// Returns the factor by which `DTR_MUTATIONS` multiplies the number of mutations.
fn mutation_factor() -> u64 {
    std::env::var("DTR_MUTATIONS").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// Mutates the first `len` bytes of a valid file `count` times. Writes each result to `path`, and calls
/// `read`.
///
/// Asserts that `read` never panics, that each error contains `text`, and that `read` refuses more than one
/// mutation in twenty.
fn check_prefix_mutations(
    path: &Path,
    valid: &[u8],
    len: usize,
    count: u64,
    text: &str,
    read: impl Fn() -> Result<()>,
) {
    assert!(!text.is_empty(), "`text` is empty, and every message contains an empty text");
    fs::write(path, valid).unwrap();
    read().expect("the unchanged file is refused");
    let mut num_refused = 0;
    let count = count * mutation_factor();
    for seed in 0..count {
        let start = mutate(&valid[..len], &mut ChaCha8Rng::seed_from_u64(seed));
        fs::write(path, [&start, &valid[len..]].concat()).unwrap();
        let result = catch_unwind(AssertUnwindSafe(&read));
        let result =
            result.unwrap_or_else(|_| panic!("seed {seed} panicked: {}", String::from_utf8_lossy(&start)));
        if let Err(error) = result {
            num_refused += 1;
            let message = render(&error);
            assert!(message.contains(text), "seed {seed}: {message}");
        }
    }
    assert!(num_refused > count / 20, "only {num_refused} of {count} were refused");
}

/// Calls [`check_prefix_mutations`] with mutations of the whole file.
fn check_mutations(path: &Path, valid: &[u8], count: u64, text: &str, read: impl Fn() -> Result<()>) {
    check_prefix_mutations(path, valid, valid.len(), count, text, read);
}

#[test]
fn no_manifest_makes_its_reader_panic() {
    let folder = TempFolder::new();
    let small = fs::read_to_string(root().join("tests/manifests/small.toml")).unwrap();
    let variants = fs::read_to_string(root().join("experiments/base/variants.toml")).unwrap();
    // Use only the tables of the small manifest, without the key `extends`.
    let tables = &small[small.find('[').unwrap()..];
    let tables = &tables[tables.find("\n[").unwrap()..];
    let valid = format!("name = \"a\"\n{tables}\n{variants}");
    let path = folder.path("main.toml");
    check_mutations(&path, valid.as_bytes(), 1_500, "main.toml", || load_manifest(&path, &[]).map(drop));
}

#[test]
fn no_header_of_weights_makes_its_reader_panic() {
    let model = TinyModel::new();
    let path = model.folder.path("model.safetensors");
    let valid = fs::read(&path).unwrap();
    // Mutate only the header, because all bytes after the header are valid values.
    let header_len = 8 + u64::from_le_bytes(valid[..8].try_into().unwrap()) as usize;
    let name = path.display().to_string();
    check_prefix_mutations(&path, &valid, header_len, 3_000, &name, || {
        BaseModel::check_weights(model.folder.root())?;
        SafetensorsReader::open(std::slice::from_ref(&path), &Device::flex()).map(drop)
    });
}

#[test]
fn no_gguf_file_makes_its_reader_panic() {
    let folder = TempFolder::new();
    for (name, num_bytes) in [("llama.gguf", 9_000), ("qwen2.gguf", 9_000), ("tokenizer-default.gguf", 6_000)]
    {
        let path = folder.path(name);
        let valid = fs::read(root().join("tests/fixtures/gguf").join(name)).unwrap();
        let prefix_len = valid.len().min(num_bytes);
        check_prefix_mutations(&path, &valid, prefix_len, 400, name, || read_gguf(&path));
    }
}

/// Reads the tokenizer of a GGUF file, and its model. A file whose name begins with `tokenizer` has no model.
fn read_gguf(path: &Path) -> Result<()> {
    let tokenizer = BaseModel::read_tokenizer(path)?;
    // An accepted tokenizer may fail to encode a text, but must not panic.
    let _ = tokenizer.encode("some text, é\n", true).and_then(|tokens| tokenizer.decode(&tokens));
    read_eos_token_ids(path)?;
    match path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tokenizer")) {
        true => Ok(()),
        false => BaseModel::read(path, &Device::flex()).map(drop),
    }
}

#[test]
fn no_config_makes_its_reader_panic() {
    let model = TinyModel::new();
    let path = model.folder.path("config.json");
    let valid = fs::read(&path).unwrap();
    check_mutations(&path, &valid, 3_000, "config.json", || {
        BaseModel::read_config(model.folder.root()).map(drop)
    });
}

#[test]
fn no_tokenizer_makes_its_reader_panic() {
    let folder = TempFolder::new();
    let path = folder.path("tokenizer.json");
    let valid = fs::read(root().join("tests/fixtures/tasks/model/tokenizer.json")).unwrap();
    check_mutations(&path, &valid, 300, "tokenizer.json", || {
        let tokenizer = Tokenizer::read(&path)?;
        // An accepted tokenizer may fail to encode a text, but must not panic.
        let _ = tokenizer.encode("some text, é\n", true).and_then(|tokens| tokenizer.decode(&tokens));
        Ok(())
    });
}

#[test]
fn no_file_of_rows_makes_its_reader_panic() {
    let folder = TempFolder::new();
    let fixtures = root().join("tests/fixtures/tasks");
    let lines = fs::read(fixtures.join("science.jsonl")).unwrap();
    let rows = lines.trim_ascii().split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b',');
    for (name, valid, count) in [
        ("a.jsonl", lines, 2_000),
        ("b.json", [&b"["[..], &rows, b"]"].concat(), 2_000),
        ("c.parquet", fs::read(fixtures.join("science.parquet")).unwrap(), 1_000),
    ] {
        let path = folder.path(name);
        check_mutations(&path, &valid, count, name, || count_rows(&path).map(drop));
    }
}

#[test]
fn no_compressed_corpus_makes_its_reader_panic() {
    let folder = TempFolder::new();
    for (name, count) in [("a.txt.xz", 1_000), ("a.jsonl.xz", 1_000), ("a.parquet.xz", 300)] {
        let path = folder.path(name);
        let valid = fs::read(root().join("tests/fixtures/corpus").join(name)).unwrap();
        check_mutations(&path, &valid, count, name, || {
            count_documents(&path, DocumentUnit::Paragraph).map(drop)
        });
    }
}

/// Returns the bytes of a record with this body and its digest.
fn record_bytes(body: &[u8]) -> Vec<u8> {
    let digest = Digest::hash(body);
    [format!("{{\"digest\":\"{digest}\",\n\"body\":").as_bytes(), body, b"}\n"].concat()
}

#[test]
fn no_record_makes_its_reader_panic() {
    let folder = TempFolder::new();
    let store = Store::open(folder.root()).unwrap();
    let key = "1bcaac96be2ad822048df098eb9c7e3ae4bf27435c121501a094c3448e90de15".parse().unwrap();
    let cell = CellId { stage: StageName::new("score"), key };
    let path = store.cell_folder(&cell).record_path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // The body lacks an outcome, so no mutation of the body is a valid record.
    let body = format!(
        "{{\"format\":1,\"stage\":\"score\",\"key\":\"{key}\",\"version\":1,\"spec\":{{}},\"inputs\":{{}}}}"
    );
    for seed in 0..3_000 * mutation_factor() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // For even seeds, the mutation can change any byte of the file. For odd seeds, the mutation changes
        // only the body, and the digest matches the changed body.
        let bytes = match seed % 2 {
            0 => mutate(&record_bytes(body.as_bytes()), &mut rng),
            _ => record_bytes(&mutate(body.as_bytes(), &mut rng)),
        };
        fs::write(&path, &bytes).unwrap();
        match catch_unwind(AssertUnwindSafe(|| store.find::<ScoreResult>(&cell))) {
            Err(_) => panic!("seed {seed} panicked: {}", String::from_utf8_lossy(&bytes)),
            Ok(Ok(Lookup::Corrupt { path: named, reason })) => assert!(named == path && !reason.is_empty()),
            Ok(Ok(other)) => panic!("seed {seed} is accepted: {other:?}"),
            Ok(Err(error)) => assert!(render(&error).contains("record format"), "{}", render(&error)),
        }
    }
}
