//! Good files with a few bytes changed, thousands of each kind: whatever they say then, reading answers, and what it
//! refuses it refuses by name.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::tensor::Device;
use dtr::algorithms::score::ScoreResult;
use dtr::manifest::load;
use dtr::store::{CellId, Lookup, StageName, Store};
use dtr_core::error::Result;
use dtr_model::{BaseModel, SafetensorsReader, Tokenizer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::refusals::render;
use crate::root;
use crate::temp_folder::TempFolder;
use crate::tiny_model::TinyModel;

/// Bytes that break more than others do.
const PIECES: [&[u8]; 24] = [
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

/// `whole` with one to four changes.
fn mutated(whole: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..8)).min(bytes.len());
        match rng.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..end, PIECES[rng.random_range(0..PIECES.len())].iter().copied())),
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

/// How many times as many mutations are tried where `DTR_MUTATIONS` says so.
fn times() -> u64 {
    std::env::var("DTR_MUTATIONS").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Reads `count` mutations of `whole`, each written to `path`; an error must be shown with `name`.
fn each_mutation(path: &Path, whole: &[u8], count: u64, name: &str, read: impl Fn() -> Result<()>) {
    fs::write(path, whole).unwrap();
    read().expect("the file to change is good");
    let mut num_refused = 0;
    let count = count * times();
    for seed in 0..count {
        let bytes = mutated(whole, &mut ChaCha8Rng::seed_from_u64(seed));
        fs::write(path, &bytes).unwrap();
        let answer = catch_unwind(AssertUnwindSafe(&read));
        let answer =
            answer.unwrap_or_else(|_| panic!("seed {seed} panicked: {}", String::from_utf8_lossy(&bytes)));
        if let Err(error) = answer {
            num_refused += 1;
            let shown = render(&error);
            assert!(shown.contains(name), "seed {seed}: {shown}");
        }
    }
    assert!(num_refused > count / 20, "only {num_refused} of {count} were refused");
}

#[test]
fn manifests() {
    let folder = TempFolder::new();
    let text = fs::read(root().join("tests/manifests/small.toml")).unwrap();
    let text = text.split(|byte| *byte == b'\n').skip(1).collect::<Vec<_>>().join(&b'\n');
    let variants = fs::read(root().join("experiments/base/variants.toml")).unwrap();
    let whole =
        [b"name = \"a\"\n", &text[text.iter().position(|byte| *byte == b'[').unwrap()..], b"\n", &variants]
            .concat();
    let path = folder.path("main.toml");
    each_mutation(&path, &whole, 1_500, "", || load(&path, &[]).map(drop));
}

#[test]
fn headers_and_weights() {
    let model = TinyModel::new();
    let path = model.folder.path("model.safetensors");
    let whole = fs::read(&path).unwrap();
    // The values are many and their bytes are free; the header is what can be wrong.
    let length = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let name = path.display().to_string();
    fs::write(&path, &whole).unwrap();
    for seed in 0..3_000 * times() {
        let header = mutated(&whole[..length], &mut ChaCha8Rng::seed_from_u64(seed));
        fs::write(&path, [&header, &whole[length..]].concat()).unwrap();
        let answer =
            catch_unwind(|| BaseModel::check_weights(model.folder.root()).and_then(|()| read_weights(&path)));
        if let Err(error) = answer.unwrap_or_else(|_| panic!("seed {seed} panicked")) {
            assert!(render(&error).contains(&name), "seed {seed}: {}", render(&error));
        }
    }
}

fn read_weights(path: &Path) -> Result<()> {
    SafetensorsReader::open(&[path.to_owned()], &Device::flex()).map(drop)
}

#[test]
fn configs_and_tokenizers() {
    let model = TinyModel::new();
    let path = model.folder.path("config.json");
    let whole = fs::read(&path).unwrap();
    each_mutation(&path, &whole, 3_000, "", || BaseModel::read_config(model.folder.root()).map(drop));
    fs::write(&path, whole).unwrap();
    let path = model.folder.path("tokenizer.json");
    let whole = fs::read(root().join("tests/fixtures/tasks/model/tokenizer.json")).unwrap();
    each_mutation(&path, &whole, 300, "tokenizer.json", || {
        let tokenizer = Tokenizer::read(&path)?;
        // What reads must be usable, or say that it is not.
        let _ = tokenizer.encode("some text, é\n", true).and_then(|tokens| tokenizer.decode(&tokens));
        Ok(())
    });
}

#[test]
fn rows_and_texts() {
    let folder = TempFolder::new();
    let fixtures = root().join("tests/fixtures");
    let jsonl = fs::read(fixtures.join("tasks/science.jsonl")).unwrap();
    let list =
        [&b"["[..], &jsonl.trim_ascii().split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b','), b"]"]
            .concat();
    for (name, whole, count) in [
        ("a.jsonl", jsonl, 2_000),
        ("b.json", list, 2_000),
        ("c.parquet", fs::read(fixtures.join("tasks/science.parquet")).unwrap(), 1_000),
    ] {
        let path = folder.path(name);
        each_mutation(&path, &whole, count, name, || crate::data::read_rows(&path).map(drop));
    }
    for (name, count) in [("a.txt.xz", 1_000), ("a.jsonl.xz", 1_000), ("a.parquet.xz", 300)] {
        let path = folder.path(name);
        let whole = fs::read(fixtures.join("corpus").join(name)).unwrap();
        each_mutation(&path, &whole, count, name, || crate::data::read_texts(&path).map(drop));
    }
}

#[test]
fn records() {
    let folder = TempFolder::new();
    let store = Store::open(folder.root()).unwrap();
    let key = "1bcaac96be2ad822048df098eb9c7e3ae4bf27435c121501a094c3448e90de15".parse().unwrap();
    let cell = CellId { stage: StageName::new("score"), key };
    let path = store.folder(&cell).record();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let body = format!(
        "{{\"format\":1,\"stage\":\"score\",\"key\":\"{key}\",\"version\":1,\"spec\":{{}},\"inputs\":{{}}}}"
    );
    let seal = |body: &[u8]| {
        let digest = dtr_core::files::Digest::hash(body);
        [format!("{{\"digest\":\"{digest}\",\n\"body\":").as_bytes(), body, b"}\n"].concat()
    };
    for seed in 0..3_000 * times() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Half are damaged, half are whole and say something else.
        let bytes = match seed % 2 {
            0 => mutated(&seal(body.as_bytes()), &mut rng),
            _ => seal(&mutated(body.as_bytes(), &mut rng)),
        };
        fs::write(&path, &bytes).unwrap();
        match catch_unwind(AssertUnwindSafe(|| store.find::<ScoreResult>(&cell))) {
            Err(_) => panic!("seed {seed} panicked: {}", String::from_utf8_lossy(&bytes)),
            Ok(Ok(Lookup::Corrupt { path: named, reason })) => assert!(named == path && !reason.is_empty()),
            Ok(Ok(other)) => panic!("seed {seed} is believed: {other:?}"),
            Ok(Err(error)) => assert!(render(&error).contains("record format"), "{}", render(&error)),
        }
    }
}
