//! A reader of the documents in plain text files.

use std::fmt;
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

use super::compressed::MaybeCompressedFile;
use crate::data::DocumentUnit;
use dtr_core::error::{Error, Result};

/// The maximum size of a line, a document or a JSON row, in bytes. A larger size means that the file is
/// damaged, or that a small compressed file expands to more than fits in memory.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1 << 27;

/// Calls `callback` with every document of a plain text file.
pub(super) fn read(
    file: &MaybeCompressedFile,
    unit: &DocumentUnit,
    callback: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut document = String::new();
    let mut first_line = 1;
    for_each_line(file, |line, number| {
        let is_separator = match unit {
            DocumentUnit::Paragraph => line.trim().is_empty(),
            DocumentUnit::Between(separator) => line.trim() == separator,
            DocumentUnit::Line | DocumentUnit::File => false,
        };
        if document.is_empty() {
            first_line = number;
        }
        if document.len() + line.len() > MAX_DOCUMENT_BYTES {
            return Err(too_long_error(&format_args!(
                "the document from line {first_line} of `{}`",
                file.path.display()
            )));
        }
        if !is_separator {
            document.push_str(line);
        }
        if is_separator || *unit == DocumentUnit::Line {
            callback(&document)?;
            document.clear();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    callback(&document)
}

/// Returns the error for a line, a document or a row that exceeds [`MAX_DOCUMENT_BYTES`]. `position` names
/// this line, document or row.
pub(super) fn too_long_error(position: &dyn fmt::Display) -> Error {
    Error::manifest(format!("{position} is longer than {} MiB", MAX_DOCUMENT_BYTES >> 20))
        .hint("split the text into shorter documents")
}

/// Calls `callback` with each line of `file` and the line's number, counted from 1. Stops reading if
/// `callback` returns `Break`. A line keeps its line feed, but a carriage return before the line feed is
/// removed.
pub(super) fn for_each_line(
    file: &MaybeCompressedFile,
    mut callback: impl FnMut(&str, usize) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut reader = file.open()?;
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let mut limited = reader.by_ref().take(MAX_DOCUMENT_BYTES as u64 + 1);
        if limited.read_until(b'\n', &mut bytes).map_err(|cause| file.read_error(cause))? == 0 {
            break;
        }
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(too_long_error(&format_args!("line {number} of `{}`", file.path.display())));
        }
        if bytes.ends_with(b"\r\n") {
            bytes.remove(bytes.len() - 2);
        }
        let line = str::from_utf8(&bytes).map_err(|cause| {
            Error::manifest(format!("line {number} of `{}` is not UTF-8", file.path.display()))
                .with_source(cause)
                .hint("convert the file, for example with `iconv -t UTF-8`")
        })?;
        let line = if number == 1 { line.trim_start_matches('\u{feff}') } else { line };
        if callback(line, number)?.is_break() {
            break;
        }
    }
    Ok(())
}
