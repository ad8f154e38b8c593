//! The tables as Parquet files: the same evidence gives the same bytes.
//!
//! Each file documents itself: its metadata holds `dtr:table`, `dtr:about` and, in `dtr:columns`, the type,
//! unit and sentence of every column as JSON.

use std::path::{Path, PathBuf};

use polars::prelude::{
    DataFrame, KeyValueMetadata, ParquetCompression, ParquetWriter, PolarsResult, StatisticsOptions,
};

use super::cost;
use super::document::columns_of;
use super::report_data::Reckoned;
use super::rows;
use super::schema::{Row, TableSpec};
use super::speed;
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// A table with its rows.
pub(super) struct Table {
    /// What it is declared as.
    pub(super) spec: TableSpec,
    /// The rows, in their canonical order.
    pub(super) frame: DataFrame,
}

impl Table {
    fn of<R: Row>(rows: &[R]) -> Result<Self> {
        let frame = R::frame(rows).map_err(|cause| unfit(&R::TABLE).with_source(cause))?;
        Ok(Self { spec: R::TABLE, frame })
    }

    /// The name of its file.
    pub(super) fn file_name(&self) -> String {
        format!("{}.parquet", self.spec.name)
    }
}

/// Every table, also one without rows.
pub(super) fn lay_out(reckoned: &Reckoned<'_>) -> Result<Vec<Table>> {
    let evidence = reckoned.evidence;
    Ok(vec![
        Table::of(&reckoned.table1)?,
        Table::of(&rows::published(evidence))?,
        Table::of(&rows::bases(evidence))?,
        Table::of(&rows::table2(evidence))?,
        Table::of(&cost::cost(evidence))?,
        Table::of(&rows::trajectories(evidence))?,
        Table::of(&reckoned.agreement)?,
        Table::of(&rows::trials(evidence))?,
        Table::of(&rows::items(evidence))?,
        Table::of(&rows::distillation(evidence))?,
        Table::of(&speed::throughput(evidence))?,
    ])
}

/// Writes the tables into `folder`; returns the files.
pub(super) fn write(tables: &[Table], folder: &Path) -> Result<Vec<PathBuf>> {
    let write_table = |table: &Table| {
        let path = folder.join(table.file_name());
        let bytes = encode(table).map_err(|cause| unfit(&table.spec).with_source(cause))?;
        write_bytes_atomically(&path, &bytes)?;
        Ok(path)
    };
    tables.iter().map(write_table).collect()
}

fn unfit(table: &TableSpec) -> Error {
    Error::failed(format!("cannot lay out table `{}`", table.name))
}

fn encode(table: &Table) -> PolarsResult<Vec<u8>> {
    let mut frame = table.frame.clone();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::full())
        .with_row_group_size(Some(frame.height().max(1)))
        .with_key_value_metadata(Some(metadata(&table.spec)))
        .finish(&mut frame)?;
    Ok(bytes)
}

fn metadata(table: &TableSpec) -> KeyValueMetadata {
    KeyValueMetadata::from_static(vec![
        ("dtr:table".to_owned(), table.name.to_owned()),
        ("dtr:about".to_owned(), table.about().to_owned()),
        ("dtr:columns".to_owned(), columns_of(table).to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use polars::prelude::{ParquetReader, SerReader};

    use super::*;
    use crate::report::columns::TABLES;
    use crate::report::evidence::Evidence;
    use crate::report::fixture;

    fn write_all(evidence: &Evidence, folder: &Path) -> Vec<PathBuf> {
        write(&lay_out(&Reckoned::of(evidence)).unwrap(), folder).unwrap()
    }

    fn read(path: &Path) -> DataFrame {
        ParquetReader::new(File::open(path).unwrap()).finish().unwrap()
    }

    fn check_reads_back<R: Row>(folder: &Path, rows: &[R]) {
        let frame = read(&folder.join(format!("{}.parquet", R::TABLE.name)));
        assert!(frame.equals_missing(&R::frame(rows).unwrap()), "{}", R::TABLE.name);
    }

    #[test]
    fn every_table_reads_back_as_it_was() {
        let evidence = fixture::evidence();
        let folder = tempfile::tempdir().unwrap();
        write_all(&evidence, folder.path());
        check_reads_back(folder.path(), &rows::table1(&evidence));
        check_reads_back(folder.path(), &rows::table2(&evidence));
        check_reads_back(folder.path(), &cost::cost(&evidence));
        check_reads_back(folder.path(), &rows::trajectories(&evidence));
        check_reads_back(folder.path(), &rows::agreement(&evidence));
        check_reads_back(folder.path(), &rows::trials(&evidence));
        check_reads_back(folder.path(), &rows::items(&evidence));
        check_reads_back(folder.path(), &rows::distillation(&evidence));
        check_reads_back(folder.path(), &speed::throughput(&evidence));
    }

    #[test]
    fn files_hold_the_declared_columns_in_their_order_and_types() {
        for evidence in [fixture::evidence(), Evidence::default()] {
            let folder = tempfile::tempdir().unwrap();
            let paths = write_all(&evidence, folder.path());
            assert_eq!(paths.len(), TABLES.len());
            for (path, table) in paths.iter().zip(TABLES) {
                let frame = read(path);
                let found = frame.columns().iter().map(|column| (column.name().as_str(), column.dtype()));
                for ((name, dtype), declared) in found.zip(table.columns) {
                    assert_eq!(name, declared.name);
                    assert_eq!(format!("{dtype:?}"), declared.dtype, "{}.{name}", table.name);
                }
                assert_eq!(frame.width(), table.columns.len());
            }
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_of_cells() {
        let evidence = fixture::evidence();
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = write_all(&evidence, first.path());
        write_all(&fixture::shuffled(evidence), second.path());
        for path in paths {
            let name = path.file_name().unwrap();
            assert_eq!(fs::read(&path).unwrap(), fs::read(second.path().join(name)).unwrap(), "{name:?}");
        }
    }

    #[test]
    fn a_file_documents_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write_all(&fixture::evidence(), folder.path());
        let mut reader = ParquetReader::new(File::open(&paths[0]).unwrap());
        let metadata = reader.get_metadata().unwrap().clone();
        let pairs = metadata.key_value_metadata().clone().unwrap();
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key).unwrap().value.clone().unwrap();
        assert_eq!(value("dtr:table"), "table1");
        let columns: serde_json::Value = serde_json::from_str(&value("dtr:columns")).unwrap();
        assert_eq!(columns[4]["name"], "p_base");
        assert_eq!(columns[4]["about"], "Test score of the base.");
    }
}
