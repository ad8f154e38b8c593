//! A reader of the documents in a corpus's files. It reads all files once, one after the other.

mod column_error;
pub(super) mod compressed;
mod file_list;
pub(super) mod json;
pub(super) mod parquet;
pub(super) mod text;

use std::ops::ControlFlow;
use std::path::Path;

use super::FileCorpus;
use crate::hub::{is_local_or_cached, local_or_cached_path};
use compressed::{MaybeCompressedFile, extensions};
use dtr_core::error::{Error, Result};
pub(in crate::data) use file_list::expand as expand_paths;

/// Returns the files of `corpus`, in the order in which they are read.
///
/// # Errors
/// Fails if a pattern matches no file, if a file is listed twice, or if a file has an unsupported format.
pub fn list_files(corpus: &FileCorpus) -> Result<Vec<String>> {
    let files = expand_paths(&corpus.paths)?;
    files.iter().try_for_each(|file| FileFormat::from_path(Path::new(file)).map(drop))?;
    Ok(files)
}

/// Calls `callback` with every document of `corpus`, without leading and trailing whitespace. Skips empty
/// documents.
///
/// # Errors
/// Fails if a file cannot be read or is malformed, or if `callback` fails.
pub fn for_each_document(corpus: &FileCorpus, callback: &mut dyn FnMut(String) -> Result<()>) -> Result<()> {
    let mut callback = |text: &str| match text.trim() {
        "" => Ok(()),
        text => callback(text.to_owned()),
    };
    for file in list_files(corpus)? {
        let file = MaybeCompressedFile::new(Path::new(&file), local_or_cached_path(&file)?);
        read(&file, corpus, None, &mut callback)?;
    }
    Ok(())
}

/// Reads the first documents of every file of `corpus`, to find a wrong format, compression or column before
/// any work begins.
///
/// Skips files on the hub that are not downloaded yet.
///
/// # Errors
/// Fails if [`for_each_document`] would fail at one of the first documents.
pub fn check_first_documents(corpus: &FileCorpus) -> Result<()> {
    for file in list_files(corpus)? {
        if is_local_or_cached(&file)? {
            check_file(&MaybeCompressedFile::new(Path::new(&file), local_or_cached_path(&file)?), corpus)?;
        }
    }
    Ok(())
}

/// The check of a file ends after this number of documents.
const NUM_CHECKED_DOCUMENTS: usize = 64;
/// The check of a file also ends when the documents that were read have this total size, in bytes.
const NUM_CHECKED_BYTES: usize = 1 << 16;

fn check_file(file: &MaybeCompressedFile, corpus: &FileCorpus) -> Result<()> {
    let (mut num_documents, mut num_bytes) = (0, 0);
    let mut is_checked = false;
    let read = read(file, corpus, Some(NUM_CHECKED_DOCUMENTS), &mut |text| {
        num_documents += 1;
        num_bytes += text.len();
        is_checked = num_documents >= NUM_CHECKED_DOCUMENTS || num_bytes >= NUM_CHECKED_BYTES;
        // An error is the only way to stop the reader.
        if is_checked { Err(Error::failed("enough documents are read")) } else { Ok(()) }
    });
    if is_checked { Ok(()) } else { read }
}

/// Calls `callback` with every document of a file. `max_rows` limits the rows that are read from each row
/// group of a Parquet file.
fn read(
    file: &MaybeCompressedFile,
    corpus: &FileCorpus,
    max_rows: Option<usize>,
    callback: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    match FileFormat::from_path(file.path)? {
        FileFormat::PlainText => text::read(file, &corpus.document, callback),
        FileFormat::Json => json::for_each_row(file, &mut |row, position| {
            if let Some(text) = json::text_of_column(&row, &corpus.column, position)? {
                callback(text)?;
            }
            Ok(ControlFlow::Continue(()))
        }),
        FileFormat::Parquet => parquet::read(file, &corpus.column, max_rows, callback),
    }
}

/// The format of a file's uncompressed content.
pub(super) enum FileFormat {
    PlainText,
    /// JSON Lines, a list of objects, or an object whose values are the rows.
    Json,
    Parquet,
}

impl FileFormat {
    /// Returns the format that a file's name declares.
    pub(super) fn from_path(path: &Path) -> Result<Self> {
        Ok(match extensions(path).0 {
            Some("txt" | "md") => Self::PlainText,
            Some("jsonl" | "ndjson" | "json") => Self::Json,
            Some("parquet") => Self::Parquet,
            _ => {
                return Err(Error::manifest(format!("`{}` has an unsupported format", path.display())).hint(
                    "use `.txt`, `.md`, `.jsonl`, `.json` or `.parquet`, optionally followed by `.gz`, `.bz2`, `.xz` or `.zst`",
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests;
