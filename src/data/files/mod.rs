//! The documents of a corpus of files, one after the other in one pass, none of them kept.
//!
//! The order is that of the paths, and within a file that of the file.

pub(super) mod compressed;
mod footer;
pub(super) mod json;
mod pages;
pub(super) mod parquet;
mod paths;
mod text;
mod wrong;

use std::path::Path;

use crate::hub::{is_available, local_path};
use crate::manifest::FileCorpus;
use compressed::{Packed, endings};
use dtr_core::error::{Error, Result};
use paths::expand;

/// The files of `corpus`, in the order in which they are read.
///
/// # Errors
/// When a path finds nothing, a file is named twice, or its name does not say a form that is read.
pub fn files(corpus: &FileCorpus) -> Result<Vec<String>> {
    let files = expand(&corpus.paths)?;
    files.iter().try_for_each(|file| Form::of(Path::new(file)).map(drop))?;
    Ok(files)
}

/// Hands every document of `corpus` to `take`: text, without blanks at its ends, never empty.
///
/// # Errors
/// When a file cannot be read, is damaged or not of the form that its name says, and whatever `take` returns.
pub fn each_document(corpus: &FileCorpus, take: &mut dyn FnMut(String) -> Result<()>) -> Result<()> {
    let mut take = |text: &str| match text.trim() {
        "" => Ok(()),
        text => take(text.to_owned()),
    };
    for file in files(corpus)? {
        read(&Packed::new(Path::new(&file), local_path(&file)?), corpus, None, &mut take)?;
    }
    Ok(())
}

/// Reads the beginnings of the files of `corpus` that are here, so that what is wrong with a whole file is known
/// before anything is done with it: its form, how it is packed, its column.
///
/// # Errors
/// As those of [`each_document`], as far as they show there.
pub fn check_beginnings(corpus: &FileCorpus) -> Result<()> {
    for file in files(corpus)? {
        if is_available(&file)? {
            check_beginning(&Packed::new(Path::new(&file), local_path(&file)?), corpus)?;
        }
    }
    Ok(())
}

/// Documents of a file that are a beginning, and bytes of them.
const FEW_DOCUMENTS: usize = 64;
const FEW_BYTES: usize = 1 << 16;

fn check_beginning(file: &Packed, corpus: &FileCorpus) -> Result<()> {
    let (mut num_documents, mut num_bytes) = (0, 0);
    let mut is_enough = false;
    let read = read(file, corpus, Some(FEW_DOCUMENTS), &mut |text| {
        num_documents += 1;
        num_bytes += text.len();
        is_enough = num_documents >= FEW_DOCUMENTS || num_bytes >= FEW_BYTES;
        // The one way to end a reading is an error.
        if is_enough { Err(Error::failed("that is enough")) } else { Ok(()) }
    });
    if is_enough { Ok(()) } else { read }
}

/// Reads a file, of Parquet at most so many rows as are asked for.
fn read(
    file: &Packed,
    corpus: &FileCorpus,
    most_rows: Option<usize>,
    take: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    match Form::of(file.path)? {
        Form::Text => text::read(file, &corpus.document, take),
        Form::Lines => json::lines(file, &mut |row, place| hand_over(&row, &corpus.column, place, take)),
        Form::List => json::list(file, &mut |row, place| hand_over(&row, &corpus.column, place, take)),
        Form::Parquet => parquet::read(file, &corpus.column, most_rows, take),
    }
}

fn hand_over(
    row: &json::Row,
    column: &str,
    place: &json::Place<'_>,
    take: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    json::text(row, column, place)?.map_or(Ok(()), take)
}

/// What a file holds.
enum Form {
    Text,
    Lines,
    List,
    Parquet,
}

impl Form {
    /// The form that a file's name says.
    fn of(path: &Path) -> Result<Self> {
        Ok(match endings(path).0 {
            Some("txt" | "md") => Self::Text,
            Some("jsonl") => Self::Lines,
            Some("json") => Self::List,
            Some("parquet") => Self::Parquet,
            _ => {
                return Err(Error::manifest(format!("`{}` is of no form that is read", path.display())).hint(
                    "read are `.txt`, `.md`, `.jsonl`, `.json` and `.parquet`, each also with `.gz`, `.xz` or `.zst`",
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests;
