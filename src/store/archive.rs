//! An archive of records: one compressed file that holds the records of many cells, without their artifacts.
//!
//! The file is JSON Lines, compressed by xz. The first line is a header, whose content the caller defines.
//! Each other line is a record, sorted by stage and key. Every line holds a digest and a body, as a
//! `record.json` does. Equal records give equal bytes.
//!
//! An archive may come from a stranger. Its records are read into memory, and nothing in it is used as a
//! path. The sizes of the file, of its lines and of the decoder are limited.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use lzma_rust2::{XzOptions, XzReader, XzWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use dtr_core::error::{Error, Result, catch_panic};
use dtr_core::files::write_atomically;

use super::Store;
use super::cell_id::CellId;
use super::checksum;
use super::record::{self, Outcome, Record, RecordOnDisk};

/// The largest content of an archive after decompression, in bytes.
const MAX_BYTES: u64 = 1 << 29;

/// The longest line of an archive, in bytes. The longest lines hold answers to tens of thousands of items.
const MAX_LINE_BYTES: u64 = 1 << 25;

/// The largest memory of the decoder, in KiB.
const MAX_DECODER_KIB: u32 = 1 << 16;

/// The dictionary of the encoder, in bytes. It covers the records of hundreds of cells.
const DICTIONARY_BYTES: u32 = 1 << 24;

/// The preset of the encoder, from 0 to 9.
const PRESET: u32 = 6;

/// The length of the text before `"body"` in a line: `{"digest":"`, 64 digits and `",`.
const DIGEST_LENGTH: usize = 11 + 64 + 2;

/// An archive that was read.
#[derive(Debug)]
pub struct RecordArchive {
    path: PathBuf,
    header: String,
    /// The text of the `record.json` of each cell.
    records: BTreeMap<CellId, String>,
}

impl RecordArchive {
    /// Reads the archive at `path`. Does not check the records. The lookup of a record checks this record.
    ///
    /// # Errors
    /// Fails if the file cannot be read, exceeds a limit, or holds a line that is not the record of a cell.
    pub fn read(path: &Path) -> Result<Self> {
        let lines = catch_panic(|| read_lines(path)).map_err(io::Error::other).flatten();
        let read_error =
            |cause| Error::io("read", path, cause).hint("fetch the file again: it may be damaged");
        Self::from_lines(path, lines.map_err(read_error)?)
    }

    /// Creates the archive at `path` from its decompressed lines.
    ///
    /// # Errors
    /// Fails if there is no header, or if a line is not the record of a cell.
    pub fn from_lines(path: &Path, lines: Vec<String>) -> Result<Self> {
        let mut lines = lines.into_iter().enumerate().map(|(index, line)| {
            from_line(&line).ok_or_else(|| damaged_line(path, index, "it is not a record"))
        });
        let header = lines.next().unwrap_or_else(|| Err(damaged_line(path, 0, "it is missing")))?;
        let mut records = BTreeMap::new();
        for (index, text) in lines.enumerate() {
            let text = text?;
            let cell = cell_of(&text).ok_or_else(|| damaged_line(path, index + 1, "it names no cell"))?;
            if records.insert(cell, text).is_some() {
                return Err(damaged_line(path, index + 1, "an earlier line is the record of the same cell"));
            }
        }
        Ok(Self { path: path.to_owned(), header, records })
    }

    /// Returns the path of the archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the header.
    ///
    /// # Errors
    /// Fails if the header is damaged or has another type.
    pub fn header<T: DeserializeOwned>(&self) -> Result<T> {
        let body = checksum::verify_checksum(self.header.as_bytes())
            .map_err(|reason| damaged_line(&self.path, 0, &reason))?;
        serde_json::from_str(body).map_err(|cause| {
            Error::environment(format!("cannot read `{}`: it has another format", self.path.display()))
                .with_source(cause)
                .hint("use the dtr that wrote it")
        })
    }

    /// Returns the cells that have a record, sorted by stage and key.
    pub(super) fn cells(&self) -> impl Iterator<Item = &CellId> {
        self.records.keys()
    }

    /// Finds the record of a cell.
    ///
    /// # Errors
    /// Fails if the record is of a newer format.
    pub(super) fn find<T: DeserializeOwned>(&self, cell: &CellId) -> Result<RecordOnDisk<T>> {
        match self.records.get(cell) {
            Some(text) => record::parse(text.as_bytes(), &self.path, cell),
            None => Ok(RecordOnDisk::Missing),
        }
    }
}

/// Records that will be written to an archive.
#[derive(Debug, Default)]
pub struct NewArchive {
    records: BTreeMap<CellId, String>,
}

impl NewArchive {
    /// Adds the record of a cell with `convert` applied to its output. Returns the cells that the record
    /// refers to, or `None` if the cell has no record.
    ///
    /// The record in the archive names no folder of this machine, and no attempt.
    ///
    /// # Errors
    /// Fails if the record is damaged or cannot be read.
    pub fn add<T: DeserializeOwned, U: Serialize>(
        &mut self,
        store: &Store,
        cell: &CellId,
        convert: impl FnOnce(T) -> U,
    ) -> Result<Option<Vec<CellId>>> {
        let record = match store.read_record::<T>(cell)? {
            RecordOnDisk::Missing => return Ok(None),
            RecordOnDisk::Corrupt(reason) => {
                return Err(Error::environment(format!("cannot read the record of {cell}: {reason}"))
                    .hint("run `dtr sweep` to compute the cell again"));
            }
            RecordOnDisk::Valid(record) => record,
        };
        let references = record.references.clone();
        if !self.records.contains_key(cell) {
            let provenance = record.provenance.clone().without_folders();
            let record = Record { provenance, attempt: None, ..record }.map(|outcome| match outcome {
                Outcome::Done(output) => Outcome::Done(convert(output)),
                Outcome::Failed { error } => Outcome::Failed { error },
            });
            self.records.insert(cell.clone(), record::encode(&record)?);
        }
        Ok(Some(references))
    }

    /// Returns whether the archive has a record of `cell`.
    pub fn contains(&self, cell: &CellId) -> bool {
        self.records.contains_key(cell)
    }

    /// Returns the number of records.
    pub fn num_records(&self) -> usize {
        self.records.len()
    }

    /// Writes the archive to `path` atomically.
    ///
    /// # Errors
    /// Fails if the file cannot be written, or if a reader would refuse it because of its size.
    pub fn write<H: Serialize>(&self, path: &Path, header: &H) -> Result<()> {
        let header = serde_json::to_string(header).map_err(|cause| {
            Error::failed(format!("cannot write the header of `{}`", path.display())).with_source(cause)
        })?;
        let header = checksum::add_checksum(&header);
        let texts = || std::iter::once(&header).chain(self.records.values());
        let num_bytes: usize = texts().map(String::len).sum();
        let longest = texts().map(String::len).max().unwrap_or_default();
        if num_bytes as u64 > MAX_BYTES || longest as u64 > MAX_LINE_BYTES {
            return Err(Error::failed(format!(
                "cannot write `{}`: the records are too large",
                path.display()
            ))
            .hint("publish fewer cells in an experiment"));
        }
        write_atomically(path, |file| {
            let mut options = XzOptions::with_preset(PRESET);
            options.lzma_options.dict_size = DICTIONARY_BYTES;
            let mut writer = XzWriter::new(file, options)?;
            texts().try_for_each(|text| writer.write_all(to_line(text).as_bytes()))?;
            writer.finish().map(drop)
        })
    }
}

/// Returns the text of a `record.json` as one line.
fn to_line(text: &str) -> String {
    text.replacen('\n', "", 1)
}

/// Returns the text of a `record.json` from its line. Returns `None` if the line is too short.
fn from_line(line: &str) -> Option<String> {
    let (digest, body) = line.split_at_checked(DIGEST_LENGTH)?;
    Some(format!("{digest}\n{body}\n"))
}

/// Returns the cell that the text of a record claims to belong to. Does not check the digest.
fn cell_of(text: &str) -> Option<CellId> {
    let (_, body) = text.split_once("\"body\":")?;
    serde_json::from_str(body.strip_suffix("}\n")?).ok()
}

/// Returns the lines of the archive at `path`.
fn read_lines(path: &Path) -> io::Result<Vec<String>> {
    let file = BufReader::new(File::open(path)?);
    let content = XzReader::new_mem_limit(file, false, MAX_DECODER_KIB);
    let mut content = BufReader::new(content.take(MAX_BYTES + 1));
    let (mut lines, mut num_bytes) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        let length = content.by_ref().take(MAX_LINE_BYTES + 1).read_line(&mut line)? as u64;
        num_bytes += length;
        let too_large = |limit| io::Error::new(io::ErrorKind::FileTooLarge, format!("it exceeds {limit}"));
        match () {
            () if length == 0 => return Ok(lines),
            () if length > MAX_LINE_BYTES => return Err(too_large(format!("{MAX_LINE_BYTES} bytes a line"))),
            () if num_bytes > MAX_BYTES => return Err(too_large(format!("{MAX_BYTES} bytes"))),
            () => {}
        }
        line.truncate(line.trim_end_matches('\n').len());
        lines.push(line);
    }
}

fn damaged_line(path: &Path, index: usize, reason: &str) -> Error {
    Error::environment(format!("cannot read line {} of `{}`: {reason}", index + 1, path.display()))
        .hint("fetch the file again, or publish the results again")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::super::lookup::Lookup;
    use super::super::test_store::{TestStore, cell};
    use super::*;

    /// Writes an archive of the cells `a` and `b`, and returns its path.
    fn written(test: &TestStore, name: &str) -> PathBuf {
        let mut archive = NewArchive::default();
        for name in ["b", "a"] {
            archive.add(&test.store, &cell(name), |output: Value| output).unwrap();
        }
        let path = test.results.path().join(name);
        archive.write(&path, &"header").unwrap();
        path
    }

    fn finished() -> TestStore {
        let test = TestStore::new();
        test.finish("a", 0.1 + 0.2);
        test.fail("b", "no luck");
        test
    }

    /// Compresses `lines` to a file.
    fn compressed(test: &TestStore, lines: &str) -> PathBuf {
        let path = test.results.path().join("forged.jsonl.xz");
        let mut writer = XzWriter::new(File::create(&path).unwrap(), XzOptions::with_preset(0)).unwrap();
        writer.write_all(lines.as_bytes()).unwrap();
        writer.finish().unwrap();
        path
    }

    fn content(path: &Path) -> String {
        io::read_to_string(XzReader::new(File::open(path).unwrap(), false)).unwrap()
    }

    fn open(path: &Path) -> Store {
        Store::from_archive(Path::new("results"), RecordArchive::read(path).unwrap())
    }

    #[test]
    fn the_records_of_an_archive_are_those_of_the_store() {
        let test = finished();
        let path = written(&test, "archive.jsonl.xz");
        let archive = RecordArchive::read(&path).unwrap();
        assert_eq!(archive.header::<String>().unwrap(), "header");
        assert!(archive.header::<u32>().unwrap_err().to_string().contains("another format"));
        let store = Store::from_archive(Path::new("results"), archive);
        let (Lookup::Done(stored), Lookup::Done(archived)) =
            (test.find("a"), store.find::<f64>(&cell("a")).unwrap())
        else {
            panic!("`a` is not done")
        };
        assert_eq!((archived.outcome, archived.seconds), (stored.outcome, stored.seconds));
        assert!(archived.provenance.command.iter().all(|word| !word.starts_with('/')), "{archived:?}");
        assert!(matches!(store.find::<f64>(&cell("b")).unwrap(), Lookup::Failed(_)));
        assert_eq!(store.find::<f64>(&cell("c")).unwrap(), Lookup::Missing);
        let audit = store.audit().unwrap();
        assert_eq!((audit.num_records, audit.num_files, audit.faults.len()), (2, 0, 0));
    }

    #[test]
    fn equal_records_give_equal_bytes_and_an_archive_is_read_only() {
        let test = finished();
        let [first, second] = ["first", "second"].map(|name| fs::read(written(&test, name)).unwrap());
        assert!(first == second);
        let store = open(&test.results.path().join("first"));
        assert!(store.try_claim(&cell("a")).unwrap_err().to_string().contains("published"));
    }

    #[test]
    fn a_changed_number_is_found() {
        let test = finished();
        let text = content(&written(&test, "archive.jsonl.xz"));
        let changed = text.replace("0.30000000000000004", "0.40000000000000004");
        assert_ne!(changed, text);
        let store = open(&compressed(&test, &changed));
        assert!(matches!(store.find::<f64>(&cell("a")).unwrap(), Lookup::Corrupt { .. }));
        let faults = store.audit().unwrap().faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].reason.contains("digest"), "{faults:?}");
    }

    #[test]
    fn a_damaged_or_forged_archive_is_refused_by_name() {
        let test = finished();
        let path = written(&test, "archive.jsonl.xz");
        let (text, bytes) = (content(&path), fs::read(&path).unwrap());
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let forged = [
            (String::new(), "line 1"),
            (format!("{}short\n", lines[0]), "line 2"),
            (format!("{}{}{}", lines[0], lines[1], lines[1]), "line 3"),
            (
                format!("{}{}", lines[0], lines[1].replace("\"stage\":\"score\"", "\"stage\":\"../up\"")),
                "line 2",
            ),
            (format!("{}{}\u{e9}\n", lines[0], "x".repeat(DIGEST_LENGTH - 1)), "line 2"),
        ];
        for (text, line) in forged {
            let error = RecordArchive::read(&compressed(&test, &text)).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains("forged.jsonl.xz"), "{error}");
        }
        for length in [0, 3, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = RecordArchive::read(&path).unwrap_err().to_string();
            assert!(error.contains("archive.jsonl.xz"), "{length}: {error}");
        }
    }

    #[test]
    fn a_small_file_that_expands_to_a_huge_one_is_refused() {
        let test = TestStore::new();
        let error = RecordArchive::read(&compressed(&test, &"x".repeat(MAX_LINE_BYTES as usize + 1)));
        assert!(error.unwrap_err().message_with_sources().contains("bytes a line"));
    }

    #[test]
    fn a_decoder_that_claims_much_memory_is_refused() {
        let test = TestStore::new();
        let path = test.results.path().join("claims.jsonl.xz");
        let mut options = XzOptions::with_preset(0);
        options.lzma_options.dict_size = 1 << 28;
        let mut writer = XzWriter::new(File::create(&path).unwrap(), options).unwrap();
        writer.write_all(b"{}\n").unwrap();
        writer.finish().unwrap();
        let error = RecordArchive::read(&path).unwrap_err().message_with_sources();
        assert!(error.contains("claims.jsonl.xz") && !error.contains("line 1"), "{error}");
    }
}
