//! A reader of the rows of a task's file, which is a JSON, Parquet or text file. Templates print the values of a
//! row as Python does.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use minijinja::Value;

use super::documents::FileFormat;
use super::documents::compressed::MaybeCompressedFile;
use super::documents::json;
use super::documents::parquet::ParquetFile;
use super::documents::text::for_each_line_or_latin1;
use crate::hub::local_or_cached_path;
use dtr_core::error::{Error, Result};

/// A row of a task's file.
pub(super) struct Row {
    /// A map from column to value. A row of a Parquet file has only the columns that [`ColumnSelection`]
    /// selects.
    pub values: Value,
    /// The names of all columns, selected or not.
    pub columns: Arc<[String]>,
}

impl Row {
    /// Returns the row as JSON. The hash of this JSON assigns the row to a split.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(&self.values)
            .map_err(|cause| Error::manifest("cannot write the row as JSON").with_source(cause))
    }
}

/// A selection of the columns of a Parquet file.
#[derive(Clone, Debug)]
pub(super) struct ColumnSelection {
    /// Names of columns that are always read.
    pub names: BTreeSet<String>,
    /// Whether to also read every other column whose values JSON can represent.
    pub includes_json: bool,
}

/// A callback that receives each row and its index. It returns `Break` to stop the reading.
type RowCallback<'a> = dyn FnMut(usize, Row) -> Result<ControlFlow<()>> + 'a;

/// Calls `callback` with every row of the file at `path`, which is a local path or the URI of a file on the
/// Hugging Face hub.
///
/// # Errors
/// Fails if the file cannot be read or is malformed, or if `callback` fails.
pub(super) fn for_each_row(
    path: &str,
    columns: &ColumnSelection,
    callback: &mut RowCallback<'_>,
) -> Result<()> {
    let file = MaybeCompressedFile::new(Path::new(path), local_or_cached_path(path)?);
    match FileFormat::from_path(file.path)? {
        FileFormat::Json => read_json(&file, callback),
        FileFormat::Parquet => read_parquet(&file, columns, callback),
        FileFormat::PlainText => read_lines(&file, callback),
    }
}

/// The only column of a text file.
const LINE_COLUMN: &str = "line";

fn read_lines(file: &MaybeCompressedFile, callback: &mut RowCallback<'_>) -> Result<()> {
    let columns: Arc<[String]> = Arc::new([LINE_COLUMN.to_owned()]);
    let mut index = 0;
    for_each_line_or_latin1(file, |line| {
        index += 1;
        let values = Value::from_pairs([(LINE_COLUMN, line)]);
        callback(index - 1, Row { values, columns: Arc::clone(&columns) })
    })
}

fn read_json(file: &MaybeCompressedFile, callback: &mut RowCallback<'_>) -> Result<()> {
    let mut index = 0;
    json::for_each_row(file, &mut |row, _| {
        let columns = row.keys().cloned().collect();
        index += 1;
        callback(index - 1, Row { values: Value::from_pairs(row), columns })
    })
}

fn read_parquet(
    file: &MaybeCompressedFile,
    columns: &ColumnSelection,
    callback: &mut RowCallback<'_>,
) -> Result<()> {
    let parquet = ParquetFile::open(file.path, file.open_seekable()?)?;
    let names: Arc<[String]> = parquet.columns().map(str::to_owned).collect();
    let is_wanted = |name: &&String| {
        columns.names.contains(*name) || columns.includes_json && parquet.has_json_form(name)
    };
    let wanted: Vec<&String> = names.iter().filter(is_wanted).collect();
    let mut index = 0;
    for group in 0..parquet.num_groups() {
        let read = wanted.iter().map(|name| parquet.read_column(group, name, usize::MAX));
        let values = read.collect::<Result<Vec<_>>>()?;
        let mut values: Vec<_> = values.iter().map(|values| values.iter()).collect();
        for _ in 0..parquet.num_rows(group) {
            let row = wanted
                .iter()
                .zip(&mut values)
                .filter_map(|(name, values)| Some((name.as_str(), values.next()?)));
            let row = Row { values: Value::from_pairs(row), columns: Arc::clone(&names) };
            if callback(index, row)?.is_break() {
                return Ok(());
            }
            index += 1;
        }
    }
    Ok(())
}
