//! What the targets fuzz: the very sources of the readers, compiled apart from the rest.
//!
//! They stand on the lower storeys alone, so that a build with sanitizers needs neither burn nor polars and takes a
//! minute. A function here takes the bytes of a file and must come back, whatever they are; an error must be shown.
#![allow(dead_code, unexpected_cfgs, unused_imports)]

#[path = "../../src/error/mod.rs"]
pub mod error;
#[path = "../../src/files.rs"]
pub mod files;
#[path = "../../src/hub/mod.rs"]
pub mod hub;
#[path = "../../src/manifest/mod.rs"]
pub mod manifest;
#[path = "../../src/sealed.rs"]
pub mod sealed;
#[path = "../../src/seed.rs"]
pub mod seed;
#[path = "../../src/store/mod.rs"]
pub mod store;

/// The readers of rows and texts, without Parquet, which is polars'.
#[path = "../../src/data"]
pub mod data {
    pub mod files {
        pub(in crate::data) mod json;
        pub(in crate::data) mod packed;
        mod text;
        mod wrong;
    }

    use std::path::Path;

    use crate::error::Result;

    /// Reads the rows of the JSON Lines, or of the list, at `path`.
    pub fn rows(path: &Path, is_list: bool) -> Result<usize> {
        let file = files::packed::Packed::new(path, path.to_owned());
        let mut count = 0;
        let mut take = |row: files::json::Row, _: &files::json::Place<'_>| {
            count += row.len();
            Ok(())
        };
        match is_list {
            true => files::json::list(&file, &mut take)?,
            false => files::json::lines(&file, &mut take)?,
        }
        Ok(count)
    }
}

/// The header of weights.
#[path = "../../src/model"]
pub mod model {
    pub mod header;
}

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use error::Result;

/// A file of this thread that holds `bytes`, in a folder that ends with the process.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    thread_local! {
        static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
    }
    let folder = FOLDER.with(|folder| {
        folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path().to_owned()
    });
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// An error must render, and name `path`, whatever it says.
fn shown<T>(result: Result<T>, path: &Path) {
    let Err(error) = result else { return };
    let mut text = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_wrap_lines(false)
        .render_report(&mut text, &error)
        .expect("an error can be shown");
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    assert!(text.contains(&*name), "{text}");
    assert!(text.len() < 20_000, "{} bytes", text.len());
}

/// A file that is, or is not, a manifest.
pub fn read_manifest(bytes: &[u8]) {
    let path = file("manifest.toml", bytes);
    shown(manifest::load(&path, &[]), &path);
}

/// A file in the place of a record; what is believed must have been sealed so.
pub fn read_record(bytes: &[u8]) {
    let key: store::Key =
        "1bcaac96be2ad822048df098eb9c7e3ae4bf27435c121501a094c3448e90de15".parse().expect("a key");
    let stage = store::Stage::Score;
    // Half of the inputs are bodies in an envelope of their own, which no fuzzer would find the digest of.
    let sealed = match bytes.split_first() {
        Some((b'{', _)) | None => bytes.to_vec(),
        Some((_, body)) => {
            let digest = files::Digest::of(body);
            [format!("{{\"digest\":\"{digest}\",\n\"body\":").as_bytes(), body, b"}\n"].concat()
        }
    };
    let name = store::Layout::new(Path::new("")).cell(stage, &key).record();
    let path = file(&name.display().to_string(), &sealed);
    let results = path.ancestors().nth(5).expect("the folder of results");
    let store = store::Store::open(results).expect("a folder");
    match store.find::<store::ScoreResult>(stage, &key) {
        Ok(store::Found::Corrupt { why, .. }) => assert!(!why.is_empty()),
        Ok(store::Found::Missing) => panic!("the file is there"),
        Ok(store::Found::Done(record) | store::Found::Failed(record)) => assert_eq!(record.key, key),
        Err(error) => shown(Err::<(), _>(error), &path),
    }
}

/// The text of a header, before as many bytes of values as its last tensor says.
pub fn read_header(bytes: &[u8]) {
    let (length, text) = bytes.split_at(bytes.len().min(2));
    let num_bytes = length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let Ok(header) = model::header::Header::parse(text, num_bytes) else { return };
    let mut end = 0;
    let mut places: Vec<_> = header.tensors.values().map(|info| info.data_offsets).collect();
    places.sort_unstable();
    for (start, stop) in places {
        assert_eq!(start as u64, end, "tensors lie end to end");
        end = stop as u64;
    }
    assert_eq!(end, num_bytes, "and fill the file");
}

/// A file of weights, read as its header is.
pub fn read_weights(bytes: &[u8]) {
    let path = file("model.safetensors", bytes);
    let opened = std::fs::File::open(&path).expect("a file");
    shown(model::header::Header::read(&opened, &path), &path);
}

/// Rows of a task, as lines and as a list, plain and packed.
pub fn read_rows(bytes: &[u8]) {
    let (kind, bytes) = bytes.split_first().map_or((0, bytes), |(kind, rest)| (kind % 8, rest));
    let packing = ["", ".gz", ".xz", ".zst"][usize::from(kind / 2)];
    let is_list = kind % 2 == 1;
    let path = file(&format!("rows.{}{packing}", if is_list { "json" } else { "jsonl" }), bytes);
    shown(data::rows(&path, is_list), &path);
}
