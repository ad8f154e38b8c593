//! Writes the tables as Parquet files. Equal records give byte-identical files.
//!
//! The metadata of each file documents the table. The key `dtr:table` has the name of the table, and
//! `dtr:about` has its description. `dtr:columns` has a JSON list of the columns with type, unit and
//! description.

use std::path::{Path, PathBuf};

use polars::prelude::{
    DataFrame, KeyValueMetadata, ParquetCompression, ParquetWriter, PolarsResult, StatisticsOptions,
};

use super::column_docs::columns_to_json;
use super::columns::TABLE1;
use super::cost::cost_rows;
use super::report_data::ReportData;
use super::rows;
use super::schema::{ColumnSpec, TableRow, TableSpec};
use super::throughput::throughput_rows;
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// A table with its rows.
pub(super) struct Table {
    /// Declaration of the table.
    pub(super) spec: TableSpec,
    /// Declaration of each column of `frame`.
    pub(super) columns: Vec<ColumnSpec>,
    /// The sorted rows.
    pub(super) frame: DataFrame,
}

impl Table {
    fn from_rows<R: TableRow>(rows: &[R]) -> Result<Self> {
        let frame = R::to_data_frame(rows).map_err(|cause| build_error(&R::TABLE).with_source(cause))?;
        Ok(Self { spec: R::TABLE, columns: R::TABLE.columns.to_vec(), frame })
    }

    /// Returns the name of the Parquet file.
    pub(super) fn file_name(&self) -> String {
        format!("{}.parquet", self.spec.name)
    }
}

/// Builds every table, including tables without rows.
///
/// # Errors
/// Fails if a table has two columns of the same name.
pub(super) fn build_tables(data: &ReportData<'_>) -> Result<Vec<Table>> {
    let records = data.records;
    let (costs, timings) = (cost_rows(records), throughput_rows(records));
    let (columns, frame) =
        rows::build_table1(&data.searches).map_err(|cause| build_error(&TABLE1).with_source(cause))?;
    Ok(vec![
        Table::from_rows(&data.searches)?,
        Table::from_rows(&rows::earlier_stop_rows(records))?,
        Table::from_rows(&rows::tuned_hybrid_rows(records))?,
        Table::from_rows(&rows::finetuned_hybrid_rows(records))?,
        Table { spec: TABLE1, columns, frame },
        Table::from_rows(&rows::compute_hours_rows(&costs))?,
        Table::from_rows(&rows::speedup_rows(&data.searches, &timings))?,
        Table::from_rows(&rows::published_rows(records))?,
        Table::from_rows(&rows::base_score_rows(records))?,
        Table::from_rows(&rows::cell_work_rows(records))?,
        Table::from_rows(&costs)?,
        Table::from_rows(&rows::trajectory_rows(records))?,
        Table::from_rows(&data.agreement)?,
        Table::from_rows(&rows::trial_rows(records))?,
        Table::from_rows(&rows::item_rows(records))?,
        Table::from_rows(&rows::distilled_layer_rows(records))?,
        Table::from_rows(&timings)?,
    ])
}

/// Writes the tables into `folder` and returns the paths of the files.
///
/// # Errors
/// Fails if a file cannot be written.
pub(super) fn write(tables: &[Table], folder: &Path) -> Result<Vec<PathBuf>> {
    let write_table = |table: &Table| {
        let path = folder.join(table.file_name());
        let bytes = encode(table).map_err(|cause| build_error(&table.spec).with_source(cause))?;
        write_bytes_atomically(&path, &bytes)?;
        Ok(path)
    };
    tables.iter().map(write_table).collect()
}

fn build_error(table: &TableSpec) -> Error {
    Error::failed(format!("cannot build table `{}`", table.name))
}

fn encode(table: &Table) -> PolarsResult<Vec<u8>> {
    let mut frame = table.frame.clone();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::full())
        .with_row_group_size(Some(frame.height().max(1)))
        .with_key_value_metadata(Some(metadata(table)))
        .finish(&mut frame)?;
    Ok(bytes)
}

fn metadata(table: &Table) -> KeyValueMetadata {
    let names = table.frame.columns().iter().map(|column| column.name().as_str());
    let columns = columns_to_json(names.zip(&table.columns));
    KeyValueMetadata::from_static(vec![
        ("dtr:table".to_owned(), table.spec.name.to_owned()),
        ("dtr:about".to_owned(), table.spec.about().to_owned()),
        ("dtr:columns".to_owned(), columns.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use polars::prelude::{ParquetReader, SerReader};

    use super::*;
    use crate::report::columns::TABLES;
    use crate::report::experiment_records::ExperimentRecords;
    use crate::report::fixture;

    fn build(records: &ExperimentRecords) -> Vec<Table> {
        build_tables(&ReportData::new(records)).unwrap()
    }

    fn write_all(records: &ExperimentRecords, folder: &Path) -> Vec<PathBuf> {
        write(&build(records), folder).unwrap()
    }

    fn read(path: &Path) -> DataFrame {
        ParquetReader::new(File::open(path).unwrap()).finish().unwrap()
    }

    fn check_reads_back<R: TableRow>(folder: &Path, rows: &[R]) {
        let frame = read(&folder.join(format!("{}.parquet", R::TABLE.name)));
        assert!(frame.equals_missing(&R::to_data_frame(rows).unwrap()), "{}", R::TABLE.name);
    }

    #[test]
    fn a_written_table_reads_back_unchanged() {
        let records = fixture::records();
        let folder = tempfile::tempdir().unwrap();
        write_all(&records, folder.path());
        check_reads_back(folder.path(), &rows::search_rows(&records));
        check_reads_back(folder.path(), &rows::earlier_stop_rows(&records));
        check_reads_back(folder.path(), &rows::tuned_hybrid_rows(&records));
        check_reads_back(folder.path(), &rows::finetuned_hybrid_rows(&records));
        let searches = rows::search_rows(&records);
        let timings = throughput_rows(&records);
        check_reads_back(folder.path(), &rows::compute_hours_rows(&cost_rows(&records)));
        check_reads_back(folder.path(), &rows::speedup_rows(&searches, &timings));
        check_reads_back(folder.path(), &rows::cell_work_rows(&records));
        check_reads_back(folder.path(), &cost_rows(&records));
        check_reads_back(folder.path(), &rows::trajectory_rows(&records));
        check_reads_back(folder.path(), &rows::agreement_rows(&records));
        check_reads_back(folder.path(), &rows::trial_rows(&records));
        check_reads_back(folder.path(), &rows::item_rows(&records));
        check_reads_back(folder.path(), &rows::distilled_layer_rows(&records));
        check_reads_back(folder.path(), &throughput_rows(&records));
    }

    #[test]
    fn files_have_the_declared_columns_in_order() {
        for records in [fixture::records(), ExperimentRecords::default()] {
            let folder = tempfile::tempdir().unwrap();
            let tables = build(&records);
            let paths = write(&tables, folder.path()).unwrap();
            assert_eq!(paths.len(), TABLES.len());
            for ((path, table), declared_table) in paths.iter().zip(&tables).zip(TABLES) {
                let frame = read(path);
                assert_eq!(table.spec, *declared_table);
                let found = frame.columns().iter().map(|column| (column.name().as_str(), column.dtype()));
                for ((name, dtype), declared) in found.zip(&table.columns) {
                    // Except for the first two, the column names of `table1` contain names of bases and
                    // variants.
                    assert!(name == declared.name || declared.name.contains('{'), "{name}");
                    assert!(declared_table.columns.contains(declared));
                    assert_eq!(format!("{dtype:?}"), declared.dtype, "{}.{name}", table.spec.name);
                }
                assert_eq!(frame.width(), table.columns.len());
                if declared_table.name != "table1" {
                    assert_eq!(table.columns, declared_table.columns);
                }
            }
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_of_cells() {
        let records = fixture::records();
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = write_all(&records, first.path());
        write_all(&fixture::shuffled(records), second.path());
        for path in paths {
            let name = path.file_name().unwrap();
            assert_eq!(fs::read(&path).unwrap(), fs::read(second.path().join(name)).unwrap(), "{name:?}");
        }
    }

    #[test]
    fn the_metadata_of_a_file_documents_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write_all(&fixture::records(), folder.path());
        let mut reader = ParquetReader::new(File::open(&paths[0]).unwrap());
        let metadata = reader.get_metadata().unwrap().clone();
        let pairs = metadata.key_value_metadata().clone().unwrap();
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key).unwrap().value.clone().unwrap();
        assert_eq!(value("dtr:table"), "searches");
        let columns: serde_json::Value = serde_json::from_str(&value("dtr:columns")).unwrap();
        assert_eq!(columns[4]["name"], "p_base");
        assert_eq!(
            columns[4]["about"],
            "Test score of the base: the fraction of test items that it answers correctly, from 0 to 1."
        );
    }
}
