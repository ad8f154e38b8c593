//! A reader of the rows of JSON files. A file has one of three layouts: JSON Lines (an object on each line),
//! one list of objects, or one object whose values are the rows. The reader detects the layout from the
//! file's content. Only one row at a time is in memory, and a row has at most [`MAX_DOCUMENT_BYTES`].

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use minijinja::value::ValueKind;
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::column_error::{missing_column_error, not_text_error};
use super::compressed::{MaybeCompressedFile, extensions};
use super::text::{BYTE_ORDER_MARK, MAX_DOCUMENT_BYTES, for_each_line, too_long_error};
use dtr_core::error::{Error, Result};
use dtr_core::jinja::{JsonObject, RawObject, parse_object, parse_python_object};

/// The maximum number of bytes that are read to detect the layout of a file.
const MAX_LAYOUT_BYTES: u64 = 1 << 20;

/// The position of a row, for error messages.
pub(in crate::data) struct RowPosition<'a> {
    file: &'a Path,
    /// The unit that `number` counts: `line` or `row`.
    unit: &'static str,
    /// The number of the line or row, from 1.
    number: usize,
}

impl fmt::Display for RowPosition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of `{}`", self.unit, self.number, self.file.display())
    }
}

/// A callback that receives each row and its position. It returns `Break` to stop the reading.
type RowCallback<'a> = dyn FnMut(JsonObject, &RowPosition<'_>) -> Result<ControlFlow<()>> + 'a;

/// Calls `callback` with every row of a JSON file.
pub(in crate::data) fn for_each_row(
    file: &MaybeCompressedFile,
    callback: &mut RowCallback<'_>,
) -> Result<()> {
    match detect_layout(file)? {
        Layout::Lines => read_lines(file, callback),
        layout => read_values(file, layout, callback),
    }
}

/// The layout of the rows in a JSON file.
#[derive(Clone, Copy)]
enum Layout {
    /// An object on each line.
    Lines,
    /// One list of objects.
    List,
    /// One object, whose values are the rows. The keys are ignored.
    Object,
}

/// Returns the layout of a file. If the file is empty, its extension decides.
///
/// A file that begins with `[` is one list. A file whose first line is only `{` is one object. Any other file
/// is JSON Lines.
fn detect_layout(file: &MaybeCompressedFile) -> Result<Layout> {
    let mut reader = open_after_mark(file)?.take(MAX_LAYOUT_BYTES);
    let mut first_line = Vec::new();
    while first_line.trim_ascii().is_empty() {
        let count = reader.read_until(b'\n', &mut first_line).map_err(|cause| file.read_error(cause))?;
        if count == 0 {
            let is_list = extensions(file.path).0 == Some("json");
            return Ok(if is_list { Layout::List } else { Layout::Lines });
        }
    }
    Ok(match first_line.trim_ascii() {
        [b'[', ..] => Layout::List,
        b"{" => Layout::Object,
        _ => Layout::Lines,
    })
}

/// Opens a file and skips its byte order mark.
fn open_after_mark(file: &MaybeCompressedFile) -> Result<Box<dyn BufRead>> {
    let mut reader = file.open()?;
    if reader.fill_buf().map_err(|cause| file.read_error(cause))?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(reader)
}

fn read_lines(file: &MaybeCompressedFile, callback: &mut RowCallback<'_>) -> Result<()> {
    for_each_line(file, |line, number| {
        if line.trim().is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let position = RowPosition { file: file.path, unit: "line", number };
        let row = parse_python_object(line);
        callback(row.map_err(|cause| not_an_object(&position, cause))?, &position)
    })
}

fn not_an_object(position: &RowPosition<'_>, cause: serde_json::Error) -> Error {
    Error::manifest(format!("{position} is not a JSON object")).with_source(cause).hint(
        "write one object on each line, or one list of objects, or one object whose values are the rows",
    )
}

/// Returns the text in a row's column, or `None` if the value is null.
///
/// # Errors
/// Fails if the row lacks the column, or if the value is neither text nor null.
pub(super) fn text_of_column<'a>(
    row: &'a JsonObject,
    column: &str,
    position: &RowPosition<'_>,
) -> Result<Option<&'a str>> {
    let Some(value) = row.get(column) else {
        let existing: Vec<&str> = row.keys().map(String::as_str).collect();
        return Err(missing_column_error(position, column, &existing));
    };
    let kind = match value.kind() {
        ValueKind::String => return Ok(value.as_str()),
        ValueKind::None => return Ok(None),
        ValueKind::Bool => "a boolean",
        ValueKind::Seq => "a list",
        ValueKind::Map => "an object",
        _ => "a number",
    };
    Err(not_text_error(position, column, kind))
}

/// Calls `callback` with every row of a JSON list of objects, or of a JSON object whose values are the rows.
fn read_values(file: &MaybeCompressedFile, layout: Layout, callback: &mut RowCallback<'_>) -> Result<()> {
    let reader = open_after_mark(file)?;
    let remaining = Rc::new(Cell::new(MAX_DOCUMENT_BYTES));
    let mut outcome = None;
    let mut number = 0;
    let visitor = RowVisitor(|row| {
        number += 1;
        remaining.set(MAX_DOCUMENT_BYTES);
        let position = RowPosition { file: file.path, unit: "row", number };
        let row = parse_object(row).map_err(|cause| not_an_object(&position, cause));
        let next = row.and_then(|row| callback(row, &position));
        if matches!(next, Ok(ControlFlow::Continue(()))) {
            return Ok(());
        }
        outcome = Some(next.map(drop));
        // Only an error stops the parser.
        Err(())
    });
    let mut json =
        serde_json::Deserializer::from_reader(RowLimitedReader { reader, remaining: remaining.clone() });
    let read = match layout {
        Layout::Object => json.deserialize_map(visitor),
        _ => json.deserialize_seq(visitor),
    };
    let read = read.and_then(|()| json.end());
    match (outcome, read) {
        (Some(outcome), _) => outcome,
        (None, Err(_)) if remaining.get() == 0 => {
            Err(too_long_error(&RowPosition { file: file.path, unit: "row", number: number + 1 }))
        }
        (None, Err(cause)) if cause.is_io() => Err(file.read_error(cause.into())),
        (None, Err(cause)) => {
            let expected = match layout {
                Layout::Object => "a JSON object of objects",
                _ => "a JSON list of objects",
            };
            Err(Error::manifest(format!("`{}` is not {expected}", file.path.display())).with_source(cause))
        }
        (None, Ok(())) => Ok(()),
    }
}

/// A reader that fails after `remaining` bytes. Its owner resets `remaining` after every row, to limit the
/// size of a row.
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

/// Deserializes the rows of a list or of an object one by one, so that memory holds only one row at a time.
struct RowVisitor<F>(F);

impl<'de, F: FnMut(RawObject) -> std::result::Result<(), ()>> Visitor<'de> for RowVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> std::result::Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            (self.0)(row).map_err(|()| A::Error::custom("the callback failed"))?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut rows: A) -> std::result::Result<(), A::Error> {
        while let Some((_, row)) = rows.next_entry::<IgnoredAny, RawObject>()? {
            (self.0)(row).map_err(|()| A::Error::custom("the callback failed"))?;
        }
        Ok(())
    }
}
