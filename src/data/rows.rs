//! The rows of a file, each a table of JSON values by column: JSON Lines, a list of tables, or Parquet.

use std::fs::File;
use std::path::Path;

use polars::prelude::{AnyValue, ParquetReader, SerReader};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::files::read_to_string;

/// A row: its columns by name.
pub(super) type Row = Map<String, Value>;

/// Reads all rows of `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Row>> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => lines(path, &read_to_string(path)?),
        Some("json") => list(path, &read_to_string(path)?),
        Some("parquet") => parquet(path),
        _ => Err(Error::manifest(format!("`{}` is no file of rows that is served", path.display()))
            .hint("served are `.jsonl`, a table on each line, `.json`, a list of tables, and `.parquet`")),
    }
}

fn lines(path: &Path, text: &str) -> Result<Vec<Row>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|cause| {
                Error::manifest(format!("line {} of `{}` is not a table", index + 1, path.display()))
                    .because(cause)
            })
        })
        .collect()
}

fn list(path: &Path, text: &str) -> Result<Vec<Row>> {
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|cause| {
        Error::manifest(format!("`{}` is not a list of tables", path.display())).because(cause)
    })
}

fn parquet(path: &Path) -> Result<Vec<Row>> {
    let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
    let unreadable = |cause| {
        Error::environment(format!("`{}` is not a whole Parquet file", path.display())).because(cause)
    };
    let frame = ParquetReader::new(file).finish().map_err(unreadable)?;
    let row = |index: usize| -> Result<Row> {
        let mut row = Row::new();
        for column in frame.columns() {
            let value = column.get(index).map_err(unreadable)?;
            let value = json(value.into_static()).ok_or_else(|| {
                let (name, dtype) = (column.name(), column.dtype());
                Error::manifest(format!(
                    "`{}` holds `{name}` as {dtype}, which no item can use",
                    path.display()
                ))
            })?;
            row.insert(column.name().to_string(), value);
        }
        Ok(row)
    };
    (0..frame.height()).map(row).collect()
}

/// A value as JSON; none for dates, bytes and the like.
fn json(value: AnyValue<'static>) -> Option<Value> {
    Some(match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(truth) => Value::Bool(truth),
        AnyValue::StringOwned(text) => Value::String(text.to_string()),
        AnyValue::List(list) => {
            list.iter().map(|one| json(one.into_static())).collect::<Option<Vec<_>>>()?.into()
        }
        AnyValue::StructOwned(parts) => {
            let (values, fields) = *parts;
            let pairs = fields.into_iter().zip(values);
            pairs
                .map(|(field, value)| Some((field.name.to_string(), json(value)?)))
                .collect::<Option<Map<_, _>>>()?
                .into()
        }
        AnyValue::Float32(_) | AnyValue::Float64(_) => Value::from(value.extract::<f64>()?),
        number if number.is_integer() => Value::from(number.extract::<i64>()?),
        _ => return None,
    })
}
