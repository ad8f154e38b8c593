//! Documents in a column of a Parquet file. Only one row group at a time is in memory.
//!
//! Polars allocates memory for as many values as a file claims to hold, and panics over some malformed files.
//! Before polars reads a file, [`footer`] and [`pages`] check these claims against the file's size;
//! [`guard_polars`] turns the panics into errors.

mod footer;
mod pages;

use std::fs::File;
use std::io;
use std::path::Path;

use polars::prelude::{FileMetadata, FileMetadataRef, ParquetReader, PolarsResult, SerReader, polars_err};

use super::column_error::{missing_column_error, not_text_error};
use super::compressed::MaybeCompressedFile;
use dtr_core::error::{Error, Result, catch_panic};

/// The maximum number of rows of a row group, and of values of a column in it. Writers make row groups of
/// about a million rows.
const MAX_GROUP_ROWS: usize = 1 << 26;

/// Calls `callback` with the texts of a column: of all rows, or of the first `max_rows` rows of each row
/// group.
///
/// Rows whose text is null are skipped.
pub(super) fn read(
    file: &MaybeCompressedFile,
    column: &str,
    max_rows: Option<usize>,
    callback: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let disk_file = file.open_seekable()?;
    let clone_file = || disk_file.try_clone().map_err(|cause| file.read_error(cause));
    let (mut reader, metadata) = open(file.path, clone_file()?)?;
    let schema = guard_polars(file.path, || reader.schema())?;
    let name = format!("`{}`", file.path.display());
    if !schema.contains(column) {
        let existing: Vec<&str> = schema.iter_names().map(|name| &**name).collect();
        return Err(missing_column_error(&name, column, &existing));
    }
    let mut first_row = 0;
    for group in &metadata.row_groups {
        let num_rows = group.num_rows().min(max_rows.unwrap_or(usize::MAX));
        let mut reader = ParquetReader::new(clone_file()?)
            .with_columns(Some(vec![column.to_owned()]))
            .with_slice(Some((first_row, num_rows)));
        reader.set_metadata(metadata.clone());
        let values = guard_polars(file.path, || {
            Ok(reader.finish()?.column(column)?.as_materialized_series().clone())
        })?;
        let texts = values.str().map_err(|_| not_text_error(&name, column, &values.dtype().to_string()))?;
        texts.iter().flatten().try_for_each(&mut *callback)?;
        first_row += group.num_rows();
    }
    Ok(())
}

/// Opens a Parquet file and checks its metadata against the file's size.
///
/// `path` is the file's name for error messages.
pub(in crate::data) fn open(path: &Path, file: File) -> Result<(ParquetReader<File>, FileMetadataRef)> {
    let read_error = |cause| Error::io("read", path, cause);
    let file_size = file.metadata().map_err(read_error)?.len();
    let footer_defect = footer::find_defect(&file, file_size).map_err(read_error)?;
    guard_polars(path, || {
        if let Some(defect) = footer_defect {
            return Err(polars_err!(ComputeError: "{defect}"));
        }
        let mut reader = ParquetReader::new(file.try_clone()?);
        let metadata = reader.get_metadata()?.clone();
        let defect = match find_metadata_defect(&metadata, file_size) {
            None => find_page_defect(&metadata, &file, file_size)?,
            defect => defect,
        };
        match defect {
            None => Ok((reader, metadata)),
            Some(defect) => Err(polars_err!(ComputeError: "{defect}")),
        }
    })
}

/// Describes the first contradiction between a file's metadata and the file's size, if there is one.
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

/// Describes the first page whose header contradicts the file's size, if there is one. The byte ranges of all
/// columns must lie inside the file.
fn find_page_defect(metadata: &FileMetadata, file: &File, file_size: u64) -> io::Result<Option<String>> {
    for (index, group) in metadata.row_groups.iter().enumerate() {
        for column in group.parquet_columns() {
            let range = column.byte_range();
            if let Some(defect) = pages::find_defect(file, range, file_size, MAX_GROUP_ROWS as i32)? {
                let name = &column.descriptor().base_type.get_field_info().name;
                return Ok(Some(format!("column `{name}`, row group {index}: {defect}")));
            }
        }
    }
    Ok(None)
}

/// Runs `read`, a call of polars on the file at `path`, and turns its errors and panics into errors of this
/// crate.
pub(in crate::data) fn guard_polars<T>(path: &Path, read: impl FnOnce() -> PolarsResult<T>) -> Result<T> {
    let invalid = || Error::environment(format!("`{}` is not a valid Parquet file", path.display()));
    match catch_panic(read) {
        Ok(read) => read.map_err(|cause| invalid().with_source(cause)),
        Err(panicked) => Err(invalid().with_source(panicked)),
    }
}
