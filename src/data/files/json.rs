//! Documents in a column of JSON: a table on each line, or one list of tables.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::packed::Packed;
use super::text::each_line;
use super::{no_column, no_text};
use crate::error::{Error, Result};

type Row = Map<String, Value>;

pub(super) fn lines(file: &Packed, column: &str, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    each_line(file, |line, number| {
        if line.trim().is_empty() {
            return Ok(());
        }
        let row: Row = serde_json::from_str(line).map_err(|cause| {
            Error::manifest(format!("line {number} of `{}` is not a table", file.path.display()))
                .because(cause)
        })?;
        hand_over(file, column, &row, take)
    })
}

/// Hands over the text of a row; one whose text is null has none.
fn hand_over(file: &Packed, column: &str, row: &Row, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    match row.get(column) {
        Some(Value::String(text)) => take(text),
        Some(Value::Null) => Ok(()),
        Some(Value::Bool(_)) => Err(no_text(file.path, column, "a boolean")),
        Some(Value::Number(_)) => Err(no_text(file.path, column, "a number")),
        Some(Value::Array(_)) => Err(no_text(file.path, column, "a list")),
        Some(Value::Object(_)) => Err(no_text(file.path, column, "a table")),
        None => Err(no_column(file.path, column, &row.keys().map(String::as_str).collect::<Vec<_>>())),
    }
}

pub(super) fn list(file: &Packed, column: &str, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let mut failure = None;
    let rows = Rows(|row: Row| hand_over(file, column, &row, take).map_err(|error| failure = Some(error)));
    let mut json = serde_json::Deserializer::from_reader(file.open()?);
    let read = json.deserialize_seq(rows).and_then(|()| json.end());
    match (failure, read) {
        (Some(error), _) => Err(error),
        (None, Err(cause)) if cause.is_io() => Err(file.unread(cause.into())),
        (None, Err(cause)) => {
            Err(Error::manifest(format!("`{}` is not a list of tables", file.path.display())).because(cause))
        }
        (None, Ok(())) => Ok(()),
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
