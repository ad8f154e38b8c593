//! Rows of JSON files: JSON Lines with an object on each line, or one list of objects. Only one row at a time
//! is in memory, and a row has at most [`MAX_DOCUMENT_BYTES`].

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::rc::Rc;

use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::column_error::{missing_column_error, not_text_error};
use super::compressed::MaybeCompressedFile;
use super::text::{MAX_DOCUMENT_BYTES, for_each_line, too_long_error};
use dtr_core::error::{Error, Result};

/// A row: its values by column.
pub(in crate::data) type JsonRow = Map<String, Value>;

/// The position of a row, for error messages.
pub(in crate::data) struct RowPosition<'a> {
    file: &'a Path,
    /// `line` or `row`.
    unit: &'static str,
    /// The number of the line or row, from 1.
    number: usize,
}

impl fmt::Display for RowPosition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of `{}`", self.unit, self.number, self.file.display())
    }
}

/// A callback for the rows of a file.
type RowCallback<'a> = dyn FnMut(JsonRow, &RowPosition<'_>) -> Result<()> + 'a;

/// Calls `callback` with every row of a JSON Lines file.
pub(in crate::data) fn read_lines(file: &MaybeCompressedFile, callback: &mut RowCallback<'_>) -> Result<()> {
    for_each_line(file, |line, number| {
        if line.trim().is_empty() {
            return Ok(());
        }
        let position = RowPosition { file: file.path, unit: "line", number };
        let row = serde_json::from_str(line).map_err(|cause| {
            Error::manifest(format!("{position} is not a JSON object")).with_source(cause)
        })?;
        callback(row, &position)
    })
}

/// Returns the text in a row's column, or `None` if the value is null.
///
/// # Errors
/// When the row lacks the column, or the column does not hold text.
pub(super) fn text_of_column<'a>(
    row: &'a JsonRow,
    column: &str,
    position: &RowPosition<'_>,
) -> Result<Option<&'a str>> {
    let kind = match row.get(column) {
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Null) => return Ok(None),
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
        None => {
            let existing: Vec<&str> = row.keys().map(String::as_str).collect();
            return Err(missing_column_error(position, column, &existing));
        }
    };
    Err(not_text_error(position, column, kind))
}

/// Calls `callback` with every row of a JSON list of objects.
pub(in crate::data) fn read_list(file: &MaybeCompressedFile, callback: &mut RowCallback<'_>) -> Result<()> {
    let mut reader = file.open()?;
    if reader.fill_buf().map_err(|cause| file.read_error(cause))?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let remaining = Rc::new(Cell::new(MAX_DOCUMENT_BYTES));
    let mut failure = None;
    let mut number = 0;
    let visitor = RowVisitor(|row: JsonRow| {
        number += 1;
        remaining.set(MAX_DOCUMENT_BYTES);
        let position = RowPosition { file: file.path, unit: "row", number };
        callback(row, &position).map_err(|error| failure = Some(error))
    });
    let mut json =
        serde_json::Deserializer::from_reader(RowLimitedReader { reader, remaining: remaining.clone() });
    let read = json.deserialize_seq(visitor).and_then(|()| json.end());
    match (failure, read) {
        (Some(error), _) => Err(error),
        (None, Err(_)) if remaining.get() == 0 => {
            Err(too_long_error(&RowPosition { file: file.path, unit: "row", number: number + 1 }))
        }
        (None, Err(cause)) if cause.is_io() => Err(file.read_error(cause.into())),
        (None, Err(cause)) => {
            Err(Error::manifest(format!("`{}` is not a JSON list of objects", file.path.display()))
                .with_source(cause))
        }
        (None, Ok(())) => Ok(()),
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A reader that fails after `remaining` bytes. The caller resets `remaining` after every row.
struct RowLimitedReader<R> {
    reader: R,
    remaining: Rc<Cell<usize>>,
}

impl<R: Read> Read for RowLimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let max_bytes = buffer.len().min(self.remaining.get());
        if max_bytes == 0 {
            return Err(io::Error::other("the row is too long"));
        }
        let count = self.reader.read(&mut buffer[..max_bytes])?;
        self.remaining.set(self.remaining.get() - count);
        Ok(count)
    }
}

/// Deserializes the rows of a list one by one, so that the whole list is never in memory.
struct RowVisitor<F>(F);

impl<'de, F: FnMut(JsonRow) -> std::result::Result<(), ()>> Visitor<'de> for RowVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> std::result::Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            (self.0)(row).map_err(|()| A::Error::custom("the callback failed"))?;
        }
        Ok(())
    }
}
