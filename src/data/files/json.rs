//! Rows of JSON: a table on each line, or one list of tables. One row at a time is in memory, and none is longer than
//! [`LONGEST`].

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::rc::Rc;

use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::compressed::Packed;
use super::text::{LONGEST, each_line, too_long};
use super::wrong::{no_column, no_text};
use dtr_core::error::{Error, Result};

/// A row: its columns by name.
pub(in crate::data) type Row = Map<String, Value>;

/// Where a row stands, as messages name it.
pub(in crate::data) struct Place<'a> {
    file: &'a Path,
    kind: &'static str,
    number: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of `{}`", self.kind, self.number, self.file.display())
    }
}

/// What is done with the rows of a file.
type Take<'a> = dyn FnMut(Row, &Place<'_>) -> Result<()> + 'a;

/// Hands every row of JSON Lines to `take`.
pub(in crate::data) fn lines(file: &Packed, take: &mut Take<'_>) -> Result<()> {
    each_line(file, |line, number| {
        if line.trim().is_empty() {
            return Ok(());
        }
        let place = Place { file: file.path, kind: "line", number };
        let row = serde_json::from_str(line)
            .map_err(|cause| Error::manifest(format!("{place} is not a table")).with_source(cause))?;
        take(row, &place)
    })
}

/// The text of a row; none where it is null.
pub(super) fn text<'a>(row: &'a Row, column: &str, place: &Place<'_>) -> Result<Option<&'a str>> {
    let kind = match row.get(column) {
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Null) => return Ok(None),
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "a table",
        None => return Err(no_column(place, column, &row.keys().map(String::as_str).collect::<Vec<_>>())),
    };
    Err(no_text(place, column, kind))
}

/// Hands every row of a list of tables to `take`.
pub(in crate::data) fn list(file: &Packed, take: &mut Take<'_>) -> Result<()> {
    let mut reader = file.open()?;
    if reader.fill_buf().map_err(|cause| file.unread(cause))?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let left = Rc::new(Cell::new(LONGEST));
    let mut failure = None;
    let mut number = 0;
    let rows = Rows(|row: Row| {
        number += 1;
        left.set(LONGEST);
        take(row, &Place { file: file.path, kind: "row", number }).map_err(|error| failure = Some(error))
    });
    let mut json = serde_json::Deserializer::from_reader(Rationed { reader, left: left.clone() });
    let read = json.deserialize_seq(rows).and_then(|()| json.end());
    match (failure, read) {
        (Some(error), _) => Err(error),
        (None, Err(_)) if left.get() == 0 => {
            Err(too_long(&Place { file: file.path, kind: "row", number: number + 1 }))
        }
        (None, Err(cause)) if cause.is_io() => Err(file.unread(cause.into())),
        (None, Err(cause)) => {
            Err(Error::manifest(format!("`{}` is not a list of tables", file.path.display()))
                .with_source(cause))
        }
        (None, Ok(())) => Ok(()),
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Gives out at most what is left of an allowance, which is renewed for each row.
struct Rationed<R> {
    reader: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left.get());
        if most == 0 {
            return Err(io::Error::other("nothing is left of the allowance"));
        }
        let count = self.reader.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - count);
        Ok(count)
    }
}

/// Takes the rows of a list one by one, so that the list is never in memory.
struct Rows<F>(F);

impl<'de, F: FnMut(Row) -> std::result::Result<(), ()>> Visitor<'de> for Rows<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tables")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> std::result::Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            (self.0)(row).map_err(|()| A::Error::custom("stopped"))?;
        }
        Ok(())
    }
}
