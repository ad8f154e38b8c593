//! A reader of Parquet columns of any type. At any time, only the requested columns of one row group are in
//! memory.
//!
//! Polars allocates memory for as many values as a file claims to hold, and panics on some malformed files.
//! [`footer`] checks the claims of a footer before polars reads the footer. [`pages`] checks the claims of
//! the page headers of a column before polars reads the column. [`guard_polars`] turns the panics into
//! errors.

mod footer;
mod pages;
mod types;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::Path;

use minijinja::Value;
use minijinja::value::ValueKind;
use polars::prelude::{FileMetadata, PolarsResult, polars_ensure, polars_err};
use polars_arrow::array::Array;
use polars_arrow::datatypes::{ArrowSchema, Field};
use polars_buffer::Buffer;
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::read::schema::parquet_to_arrow_schema;
use polars_parquet::read::{
    BasicDecompressor, ColumnChunkMetadata, Filter, PageReader, RowGroupMetadata, column_iter_to_arrays,
    infer_schema, read_metadata,
};

use super::column_error::{missing_column_error, not_text_error};
use super::compressed::MaybeCompressedFile;
use dtr_core::error::{Error, Result, catch_panic};
use types::{has_json_form, polars_type, pyarrow_type};
use values::value_at;

/// The maximum number of rows in a row group. It also limits the number of values of each column in the row
/// group. Common writers make row groups of about a million rows.
const MAX_GROUP_ROWS: usize = 1 << 26;

/// Calls `callback` with the texts of a column. If `max_rows` is given, reads only the first `max_rows` rows
/// of each row group. Skips rows whose text is null.
pub(super) fn read(
    file: &MaybeCompressedFile,
    column: &str,
    max_rows: Option<usize>,
    callback: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let parquet = ParquetFile::open(file.path, file.open_seekable()?)?;
    let name = format!("`{}`", file.path.display());
    let columns: Vec<&str> = parquet.columns().collect();
    if !columns.contains(&column) {
        return Err(missing_column_error(&name, column, &columns));
    }
    for group in 0..parquet.num_groups() {
        for value in parquet.read_column(group, column, max_rows.unwrap_or(usize::MAX))?.iter() {
            match value.kind() {
                ValueKind::String => callback(value.as_str().unwrap_or_default())?,
                ValueKind::None => {}
                _ => return Err(not_text_error(&name, column, &parquet.type_name(column))),
            }
        }
    }
    Ok(())
}

/// An open Parquet file whose metadata agrees with the file's size.
pub(in crate::data) struct ParquetFile<'a> {
    /// The file's name for error messages.
    path: &'a Path,
    file: File,
    size: u64,
    metadata: FileMetadata,
    schema: ArrowSchema,
}

impl<'a> ParquetFile<'a> {
    /// Opens a file and checks its metadata.
    pub fn open(path: &'a Path, file: File) -> Result<Self> {
        let read_error = |cause| Error::io("read", path, cause);
        let size = file.metadata().map_err(read_error)?.len();
        let footer_defect = footer::find_defect(&file, size).map_err(read_error)?;
        let (metadata, schema) = guard_polars(path, || {
            if let Some(defect) = footer_defect {
                return Err(polars_err!(ComputeError: "{defect}"));
            }
            let metadata = read_metadata(&mut &file)?;
            if let Some(defect) = find_metadata_defect(&metadata, size) {
                return Err(polars_err!(ComputeError: "{defect}"));
            }
            let schema = read_schema(&metadata);
            Ok((metadata, schema))
        })?;
        Ok(Self { path, file, size, metadata, schema })
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.iter_names().map(|name| name.as_str())
    }

    /// Returns whether JSON can represent all values of a column.
    pub fn has_json_form(&self, column: &str) -> bool {
        self.schema.get(column).is_some_and(|field| has_json_form(&field.dtype))
    }

    fn type_name(&self, column: &str) -> String {
        self.schema.get(column).map(|field| format!("{:?}", field.dtype)).unwrap_or_default()
    }

    pub fn num_groups(&self) -> usize {
        self.metadata.row_groups.len()
    }

    pub fn num_rows(&self, group: usize) -> usize {
        self.metadata.row_groups[group].num_rows()
    }

    /// Reads the first `max_rows` values of a column of a row group.
    ///
    /// # Errors
    /// Fails if the file does not have the column, or if the column's pages are malformed or of an
    /// unsupported type.
    pub fn read_column(&self, group: usize, column: &str, max_rows: usize) -> Result<ColumnValues> {
        let num_rows = self.num_rows(group).min(max_rows);
        guard_polars(self.path, || {
            let field = self.schema.try_get(column)?.clone();
            let group_metadata = &self.metadata.row_groups[group];
            let arrays = self.read_arrays(group_metadata, &field, num_rows).map_err(|cause| {
                let place = format!("column `{column}`, row group {group}");
                cause.context(place.into())
            })?;
            let length: usize = arrays.iter().map(|array| array.len()).sum();
            polars_ensure!(length == num_rows, ComputeError: "column `{column}` has {length} of {num_rows} rows");
            Ok(ColumnValues { field, arrays })
        })
    }

    fn read_arrays(
        &self,
        group: &RowGroupMetadata,
        field: &Field,
        num_rows: usize,
    ) -> PolarsResult<Vec<Box<dyn Array>>> {
        let chunks = group.columns_under_root_iter(&field.name);
        let chunks: Vec<&ColumnChunkMetadata> = chunks.into_iter().flatten().collect();
        let storage = field.clone().with_dtype(polars_type(&field.dtype));
        let mut pages = Vec::new();
        for chunk in &chunks {
            if let Some(defect) =
                pages::find_defect(&self.file, chunk.byte_range(), self.size, MAX_GROUP_ROWS as i32)?
            {
                return Err(polars_err!(ComputeError: "{defect}"));
            }
            let range = chunk.byte_range();
            let mut bytes = vec![0; (range.end - range.start) as usize];
            self.file.read_exact_at(&mut bytes, range.start)?;
            let reader = PageReader::new(Cursor::new(Buffer::from(bytes)), chunk, Vec::new(), usize::MAX);
            pages.push(BasicDecompressor::new(reader, Vec::new()));
        }
        let types = chunks.iter().map(|chunk| &chunk.descriptor().descriptor.primitive_type).collect();
        Ok(column_iter_to_arrays(pages, types, storage, Some(Filter::new_limited(num_rows)))?.0)
    }
}

fn read_schema(metadata: &FileMetadata) -> ArrowSchema {
    // If the file has an Arrow schema, polars infers the types from the Arrow schema. The inference fails if
    // polars does not know a type of the Arrow schema. The Parquet schema then determines the types.
    let inferred = infer_schema(metadata);
    let mut schema = inferred.unwrap_or_else(|_| parquet_to_arrow_schema(metadata.schema().fields()));
    let mut leaves: BTreeMap<&str, Vec<&PrimitiveType>> = BTreeMap::new();
    for column in metadata.schema().columns() {
        let root = column.path_in_schema.first().map(|name| name.as_str()).unwrap_or_default();
        leaves.entry(root).or_default().push(&column.descriptor.primitive_type);
    }
    for field in schema.iter_values_mut() {
        let stored = leaves.remove(field.name.as_str()).unwrap_or_default();
        field.dtype = pyarrow_type(&field.dtype, &mut stored.into_iter());
    }
    schema
}

/// The values of one column in one row group.
pub(in crate::data) struct ColumnValues {
    field: Field,
    arrays: Vec<Box<dyn Array>>,
}

impl ColumnValues {
    /// Returns the values in the form that pyarrow gives them in Python. A value without a counterpart in
    /// Python becomes an error, which a template raises when it uses the value.
    pub fn iter(&self) -> impl Iterator<Item = Value> {
        self.arrays.iter().flat_map(move |array| {
            (0..array.len())
                .map(move |row| value_at(&self.field.name, array.as_ref(), &self.field.dtype, row))
        })
    }
}

/// Returns a description of the first defect in a file's metadata, or `None` if there is no defect. Defects
/// are sizes that exceed a limit or the file, and contradictory numbers of rows.
fn find_metadata_defect(metadata: &FileMetadata, file_size: u64) -> Option<String> {
    let mut num_rows = 0_usize;
    for (index, group) in metadata.row_groups.iter().enumerate() {
        num_rows = num_rows.saturating_add(group.num_rows());
        if group.num_rows() > MAX_GROUP_ROWS {
            return Some(format!(
                "row group {index} claims {} rows, more than the supported {MAX_GROUP_ROWS}",
                group.num_rows()
            ));
        }
        for column in group.parquet_columns() {
            let is_consistent = (0..=MAX_GROUP_ROWS as i64).contains(&column.num_values())
                && (0..=i64::from(u32::MAX)).contains(&column.uncompressed_size())
                && column.compressed_size() >= 0
                && column.byte_range().end <= file_size;
            if !is_consistent {
                let name = &column.descriptor().base_type.get_field_info().name;
                return Some(format!("the sizes of column `{name}` in row group {index} exceed the file"));
            }
        }
    }
    (num_rows != metadata.num_rows)
        .then(|| format!("the file claims {} rows, and its row groups claim {num_rows}", metadata.num_rows))
}

/// Runs `read`, a call of polars on the file at `path`. Turns polars errors and panics into [`Error`].
fn guard_polars<T>(path: &Path, read: impl FnOnce() -> PolarsResult<T>) -> Result<T> {
    let invalid = || Error::environment(format!("`{}` is not a valid Parquet file", path.display()));
    match catch_panic(read) {
        Ok(read) => read.map_err(|cause| invalid().with_source(cause)),
        Err(panicked) => Err(invalid().with_source(panicked)),
    }
}
