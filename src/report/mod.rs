//! Reports of an experiment's stored results: Parquet tables, SVG figures, an HTML page and a summary for the
//! terminal.
//!
//! A cell is one computation of an experiment, such as a distillation, a search or a timing. A report reads
//! the results of cells from the store and runs no cell. Equal results give byte-identical files.
//!
//! A base is a model with full attention, and a hybrid is a base in which linear-attention blocks (twins)
//! replace the attention of some layers. A search replaces one more layer in each round. Its results are
//! two hybrids. `M_best` has the highest validation score, and `M_opt` is the last hybrid that
//! the search accepted.

mod column_docs;
mod columns;
mod cost;
mod derived_values;
mod experiment_records;
mod figures;
#[cfg(test)]
mod fixture;
mod lock;
mod page;
mod paired;
mod paper_match;
pub mod published;
mod report_data;
mod rows;
mod schema;
mod score_interval;
mod tables;
mod text;
mod throughput;

use std::path::{Path, PathBuf};

pub use column_docs::{columns_json, columns_markdown};
pub use columns::{
    AgreementRow, BaseScoreRow, CellWorkRow, ComputeHoursRow, CostRow, DistilledLayerRow, EarlierStopRow,
    FinetunedHybridRow, ItemRow, PublishedRow, SearchRow, SpeedupRow, TABLES, ThroughputRow, TrajectoryRow,
    TrialRow, TunedHybridRow,
};
pub use derived_values::format_axes;
pub use experiment_records::{
    CellWorkCounts, DistilCell, ExperimentRecords, FinetunedHybridCell, MissingCell, ScoreCell, SearchCell,
    StoredCell, TestAnswers, TimingCell, TunedHybridCell,
};
pub use report_data::ReportData;
pub use schema::{ColumnSpec, TableRow, TableSpec};
pub use text::summary_text;

use dtr_core::error::Result;

/// Writes every table, every figure and the HTML page that shows them. Returns the paths of the files.
///
/// # Errors
/// Fails if a file cannot be written, or if a figure cannot be drawn.
pub fn write_report_files(
    data: &ReportData<'_>,
    tables_dir: &Path,
    figures_dir: &Path,
) -> Result<Vec<PathBuf>> {
    let (tables, figures) = (tables::build_tables(data)?, figures::draw(data)?);
    lock::with_report_lock(tables_dir, figures_dir, || {
        let mut paths = tables::write(&tables, tables_dir)?;
        paths.extend(figures::write(&figures, figures_dir)?);
        paths.push(page::write(data, &tables, &figures, tables_dir)?);
        Ok(paths)
    })
}
