//! Documents in a column of Parquet, of which one row group at a time is in memory.

use std::path::Path;

use polars::prelude::{ParquetReader, PolarsResult, SerReader};

use super::packed::Packed;
use super::wrong::{no_column, no_text};
use crate::error::{Error, Result, guarded};

pub(super) fn read(file: &Packed, column: &str, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let disk = file.seekable()?;
    let again = || disk.try_clone().map_err(|cause| file.unread(cause));
    let mut reader = ParquetReader::new(again()?);
    let (schema, metadata) = whole(file.path, || Ok((reader.schema()?, reader.get_metadata()?.clone())))?;
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
            .with_slice(Some((first, group.num_rows())));
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

/// What `read` makes of the file at `path`; where polars panics over it, it is damaged too.
pub(in crate::data) fn whole<T>(path: &Path, read: impl FnOnce() -> PolarsResult<T>) -> Result<T> {
    let refuse = || Error::environment(format!("`{}` is not a whole Parquet file", path.display()));
    match guarded(read) {
        Ok(read) => read.map_err(|cause| refuse().because(cause)),
        Err(panicked) => Err(refuse().because(panicked)),
    }
}
