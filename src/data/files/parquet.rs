//! Documents in a column of Parquet, of which one row group at a time is in memory.

use std::fs::File;
use std::io;
use std::path::Path;

use polars::prelude::{FileMetadata, FileMetadataRef, ParquetReader, PolarsResult, SerReader, polars_err};

use super::compressed::Packed;
use super::footer;
use super::pages;
use super::wrong::{no_column, no_text};
use dtr_core::error::{Error, Result, catch_panic};

/// Hands the texts of all rows to `take`, or of the first `most_rows` of each group.
pub(super) fn read(
    file: &Packed,
    column: &str,
    most_rows: Option<usize>,
    take: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let disk = file.seekable()?;
    let again = || disk.try_clone().map_err(|cause| file.unread(cause));
    let (mut reader, metadata) = open(file.path, again()?)?;
    let schema = whole(file.path, || reader.schema())?;
    if !schema.contains(column) {
        return Err(no_column(
            &format_args!("`{}`", file.path.display()),
            column,
            &schema.iter_names().map(|name| &**name).collect::<Vec<_>>(),
        ));
    }
    let name = format!("`{}`", file.path.display());
    let mut first = 0;
    for group in &metadata.row_groups {
        let mut reader = ParquetReader::new(again()?)
            .with_columns(Some(vec![column.to_owned()]))
            .with_slice(Some((first, group.num_rows().min(most_rows.unwrap_or(usize::MAX)))));
        reader.set_metadata(metadata.clone());
        let values =
            whole(file.path, || Ok(reader.finish()?.column(column)?.as_materialized_series().clone()))?;
        let texts = values.str().map_err(|_| no_text(&name, column, &values.dtype().to_string()))?;
        // A row whose text is null has none.
        texts.iter().flatten().try_for_each(&mut *take)?;
        first += group.num_rows();
    }
    Ok(())
}

/// The most rows of a group and values of a column in it. Memory is set aside for what a file says that it has, and
/// writers cut groups at a million.
const MOST_ROWS: usize = 1 << 26;

/// A reader of `file`, which lies at `path`, and what it says of itself, which must go together.
pub(in crate::data) fn open(path: &Path, file: File) -> Result<(ParquetReader<File>, FileMetadataRef)> {
    let unread = |cause| Error::io("read", path, cause);
    let length = file.metadata().map_err(unread)?.len();
    let footer_flaw = footer::flaw(&file, length).map_err(unread)?;
    whole(path, || {
        if let Some(flaw) = footer_flaw {
            return Err(polars_err!(ComputeError: "{flaw}"));
        }
        let mut reader = ParquetReader::new(file.try_clone()?);
        let metadata = reader.get_metadata()?.clone();
        let flaw = match flaw(&metadata, length) {
            None => page_flaw(&metadata, &file, length)?,
            found => found,
        };
        match flaw {
            None => Ok((reader, metadata)),
            Some(flaw) => Err(polars_err!(ComputeError: "{flaw}")),
        }
    })
}

/// What is wrong with the pages of columns, whose places are in the file.
fn page_flaw(metadata: &FileMetadata, file: &File, length: u64) -> io::Result<Option<String>> {
    for (number, group) in metadata.row_groups.iter().enumerate() {
        for column in group.parquet_columns() {
            if let Some(why) = pages::flaw(file, column.byte_range(), length, MOST_ROWS as i32)? {
                let name = &column.descriptor().base_type.get_field_info().name;
                return Ok(Some(format!("of the column `{name}` in row group {number} {why}")));
            }
        }
    }
    Ok(None)
}

/// What cannot be of what a file of `length` bytes says of itself.
fn flaw(metadata: &FileMetadata, length: u64) -> Option<String> {
    let mut rows = 0_usize;
    for (number, group) in metadata.row_groups.iter().enumerate() {
        rows = rows.saturating_add(group.num_rows());
        if group.num_rows() > MOST_ROWS {
            return Some(format!(
                "row group {number} has {} rows, and at most {MOST_ROWS} are read",
                group.num_rows()
            ));
        }
        for column in group.parquet_columns() {
            let fits = (0..=MOST_ROWS as i64).contains(&column.num_values())
                && (0..=i64::from(u32::MAX)).contains(&column.uncompressed_size())
                && column.compressed_size() >= 0
                && column.byte_range().end <= length;
            if !fits {
                let name = &column.descriptor().base_type.get_field_info().name;
                return Some(format!("the column `{name}` of row group {number} is not of this file"));
            }
        }
    }
    (rows != metadata.num_rows)
        .then(|| format!("{} rows are said, and its groups have {rows}", metadata.num_rows))
}

/// What `read` makes of the file at `path`; where polars panics over it, it is damaged too.
pub(in crate::data) fn whole<T>(path: &Path, read: impl FnOnce() -> PolarsResult<T>) -> Result<T> {
    let refuse = || Error::environment(format!("`{}` is not a whole Parquet file", path.display()));
    match catch_panic(read) {
        Ok(read) => read.map_err(|cause| refuse().with_source(cause)),
        Err(panicked) => Err(refuse().with_source(panicked)),
    }
}
