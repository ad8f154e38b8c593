//! The documents of a corpus of files, one after the other in one pass, none of them kept.
//!
//! The order is that of the paths, and within a file that of the file.

mod json;
mod packed;
mod parquet;
mod paths;
mod text;

use std::path::Path;

use crate::error::{Error, Result};
use crate::manifest::FileCorpus;
use packed::Packed;

pub use paths::{expand, is_on_hub, local};

/// Hands every document of `corpus` to `take`: text, without blanks at its ends, never empty.
///
/// # Errors
/// When a file cannot be read, is damaged or not of the form that its name says, and whatever `take` returns.
pub fn each_document(corpus: &FileCorpus, take: &mut dyn FnMut(String) -> Result<()>) -> Result<()> {
    let mut take = |text: &str| match text.trim() {
        "" => Ok(()),
        text => take(text.to_owned()),
    };
    for path in expand(&corpus.paths)? {
        read(&local(&path)?, corpus, &mut take)?;
    }
    Ok(())
}

fn read(path: &Path, corpus: &FileCorpus, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let file = Packed::new(path);
    match file.ending() {
        Some("txt" | "md") => text::read(&file, &corpus.document, take),
        Some("jsonl") => json::lines(&file, &corpus.column, take),
        Some("json") => json::list(&file, &corpus.column, take),
        Some("parquet") => parquet::read(&file, &corpus.column, take),
        _ => Err(Error::manifest(format!("`{}` is no file of documents that is read", path.display())).hint(
            "read are `.txt`, `.md`, `.jsonl`, `.json` and `.parquet`, each also with `.gz`, `.xz` or `.zst` after it",
        )),
    }
}

/// A file that has no column `column`, but `others`.
fn no_column(path: &Path, column: &str, others: &[&str]) -> Error {
    let others = others.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Error::manifest(format!("`{}` has no column `{column}`", path.display()))
        .hint(format!("its columns are {others}; `column` names the one that holds the text"))
}

/// A column that holds `kind` where text is wanted.
fn no_text(path: &Path, column: &str, kind: &str) -> Error {
    Error::manifest(format!("`{}` holds {kind} in `{column}`, not text", path.display()))
        .hint("`column` names the one that holds the text")
}

#[cfg(test)]
mod tests;
