//! The rows of a file, each a table of JSON values by column: JSON Lines, a list of tables, or Parquet.

use std::fs::File;
use std::path::Path;

use polars::prelude::{AnyValue, SerReader};
use serde_json::{Map, Value};

use super::files::compressed::Packed;
use super::files::json;
use super::files::parquet::{open, whole};
use dtr_core::error::{Error, Result};

pub(super) use json::Row;

/// Reads all rows of `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut keep = |row: Row, _: &json::Place<'_>| {
        rows.push(row);
        Ok(())
    };
    let file = Packed::new(path, path.to_owned());
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => json::lines(&file, &mut keep)?,
        Some("json") => json::list(&file, &mut keep)?,
        Some("parquet") => return parquet(path),
        _ => {
            return Err(Error::manifest(format!("`{}` is no file of rows that is served", path.display()))
                .hint(
                    "served are `.jsonl`, a table on each line, `.json`, a list of tables, and `.parquet`",
                ));
        }
    }
    Ok(rows)
}

fn parquet(path: &Path) -> Result<Vec<Row>> {
    let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
    let (reader, _) = open(path, file)?;
    let frame = whole(path, || reader.finish())?;
    let row = |index: usize| -> Result<Row> {
        let mut row = Row::new();
        for column in frame.columns() {
            let value = whole(path, || column.get(index))?;
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
