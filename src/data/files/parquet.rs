//! Documents in a column of Parquet, of which one row group at a time is in memory.

use polars::prelude::{ParquetReader, PolarsError, SerReader};

use super::packed::Packed;
use super::{no_column, no_text};
use crate::error::{Error, Result};

pub(super) fn read(file: &Packed, column: &str, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let unreadable = |cause: PolarsError| {
        Error::environment(format!("`{}` is not a whole Parquet file", file.path.display())).because(cause)
    };
    let disk = file.seekable()?;
    let again = || disk.try_clone().map_err(|cause| file.unread(cause));
    let mut reader = ParquetReader::new(again()?);
    let schema = reader.schema().map_err(unreadable)?;
    if !schema.contains(column) {
        return Err(no_column(
            &format_args!("`{}`", file.path.display()),
            column,
            &schema.iter_names().map(|name| &**name).collect::<Vec<_>>(),
        ));
    }
    let metadata = reader.get_metadata().map_err(unreadable)?.clone();
    let name = format!("`{}`", file.path.display());
    let mut first = 0;
    for group in &metadata.row_groups {
        let mut reader = ParquetReader::new(again()?)
            .with_columns(Some(vec![column.to_owned()]))
            .with_slice(Some((first, group.num_rows())));
        reader.set_metadata(metadata.clone());
        let frame = reader.finish().map_err(unreadable)?;
        let values = frame.column(column).map_err(unreadable)?.as_materialized_series();
        let texts = values.str().map_err(|_| no_text(&name, column, &values.dtype().to_string()))?;
        // A row whose text is null has none.
        texts.iter().flatten().try_for_each(&mut *take)?;
        first += group.num_rows();
    }
    Ok(())
}
