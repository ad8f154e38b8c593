//! Rows of a task's file, each a JSON object keyed by column: JSON Lines, a JSON list of objects, or Parquet.

use std::fs::File;
use std::path::Path;

use polars::prelude::{AnyValue, SerReader};
use serde_json::{Map, Value};

use super::documents::compressed::MaybeCompressedFile;
use super::documents::json;
use super::documents::parquet::{guard_polars, open};
use dtr_core::error::{Error, Result};

pub(super) use json::JsonRow;

/// Reads all rows of the file at `path`.
pub(super) fn read_rows(path: &Path) -> Result<Vec<JsonRow>> {
    let mut rows = Vec::new();
    let mut push = |row: JsonRow, _: &json::RowPosition<'_>| {
        rows.push(row);
        Ok(())
    };
    let file = MaybeCompressedFile::new(path, path.to_owned());
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => json::read_lines(&file, &mut push)?,
        Some("json") => json::read_list(&file, &mut push)?,
        Some("parquet") => return read_parquet(path),
        _ => {
            return Err(Error::manifest(format!("`{}` has an unsupported format", path.display()))
                .hint("use `.jsonl` (one object on each line), `.json` (a list of objects) or `.parquet`"));
        }
    }
    Ok(rows)
}

fn read_parquet(path: &Path) -> Result<Vec<JsonRow>> {
    let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
    let (reader, _) = open(path, file)?;
    let frame = guard_polars(path, || reader.finish())?;
    let row = |index: usize| -> Result<JsonRow> {
        let mut row = JsonRow::new();
        for column in frame.columns() {
            let value = guard_polars(path, || column.get(index))?;
            let value = to_json(value.into_static()).ok_or_else(|| {
                let (name, dtype) = (column.name(), column.dtype());
                Error::manifest(format!(
                    "`{}` has the type {dtype} in `{name}`, which tasks do not support",
                    path.display()
                ))
                .hint("remove the column, or convert it to text, numbers, lists or structs of these")
            })?;
            row.insert(column.name().to_string(), value);
        }
        Ok(row)
    };
    (0..frame.height()).map(row).collect()
}

/// Converts a value to JSON, or returns `None` for dates, bytes and other types without a JSON form.
fn to_json(value: AnyValue<'static>) -> Option<Value> {
    Some(match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(truth) => Value::Bool(truth),
        AnyValue::StringOwned(text) => Value::String(text.to_string()),
        AnyValue::List(list) => {
            list.iter().map(|element| to_json(element.into_static())).collect::<Option<Vec<_>>>()?.into()
        }
        AnyValue::StructOwned(parts) => {
            let (values, fields) = *parts;
            let pairs = fields.into_iter().zip(values);
            pairs
                .map(|(field, value)| Some((field.name.to_string(), to_json(value)?)))
                .collect::<Option<Map<_, _>>>()?
                .into()
        }
        AnyValue::Float32(_) | AnyValue::Float64(_) => Value::from(value.extract::<f64>()?),
        number if number.is_integer() => Value::from(number.extract::<i64>()?),
        _ => return None,
    })
}
