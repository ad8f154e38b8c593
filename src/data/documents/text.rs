//! A reader of the documents in plain text files.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

use super::compressed::MaybeCompressedFile;
use crate::data::DocumentUnit;
use dtr_core::error::{Error, Result};

/// The maximum size of a line, a document or a JSON row, in bytes. A larger size means that the file is
/// damaged, or that a small compressed file expands to more than fits in memory.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1 << 27;

/// The byte order mark of a UTF-8 file.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

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
///
/// # Errors
/// Fails if the file cannot be read, if a line is too long or not UTF-8, or if `callback` fails.
pub(super) fn for_each_line(
    file: &MaybeCompressedFile,
    mut callback: impl FnMut(&str, usize) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for_each_line_bytes(file, |bytes, number| {
        let line = str::from_utf8(bytes).map_err(|cause| {
            Error::manifest(format!("line {number} of `{}` is not UTF-8", file.path.display()))
                .with_source(cause)
                .hint("convert the file, for example with `iconv -t UTF-8`")
        })?;
        callback(line, number)
    })
}

/// Calls `callback` with each line of `file` that is not blank, without its line feed. A line that is not
/// UTF-8 is read as Latin-1 (ISO 8859-1). Stops reading if `callback` returns `Break`.
///
/// # Errors
/// Fails if the file cannot be read, if a line is too long, or if `callback` fails.
pub(in crate::data) fn for_each_line_or_latin1(
    file: &MaybeCompressedFile,
    mut callback: impl FnMut(&str) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for_each_line_bytes(file, |bytes, _| {
        let line = match str::from_utf8(bytes) {
            Ok(line) => Cow::Borrowed(line),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        match line.trim().is_empty() {
            true => Ok(ControlFlow::Continue(())),
            false => callback(line.trim_end_matches('\n')),
        }
    })
}

/// Calls `callback` with the bytes of each line, as [`for_each_line`] does with its text.
fn for_each_line_bytes(
    file: &MaybeCompressedFile,
    mut callback: impl FnMut(&[u8], usize) -> Result<ControlFlow<()>>,
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
        let mut line = bytes.as_slice();
        while number == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line = &line[BYTE_ORDER_MARK.len()..];
        }
        if callback(line, number)?.is_break() {
            break;
        }
    }
    Ok(())
}
