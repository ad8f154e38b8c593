//! The account of an experiment: tables, figures and a text for the terminal, from evidence alone.
//!
//! Read-only: it never runs anything and does not know where its numbers came from. The same evidence
//! gives the same bytes, whatever the order of its lists.

mod columns;
mod cost;
mod derived;
mod document;
mod evidence;
mod figures;
#[cfg(test)]
mod fixture;
mod gather;
mod lock;
mod page;
mod paired;
mod paper_match;
pub mod published;
mod report_data;
mod rows;
mod schema;
mod speed;
mod tables;
mod text;

use std::path::{Path, PathBuf};

pub use columns::{
    AgreementRow, BaseRow, CostRow, DistillationRow, ItemRow, PublishedRow, TABLES, Table1Row, Table2Row,
    ThroughputRow, TrajectoryRow, TrialRow,
};
pub use derived::axes_text;
pub use document::{columns_json, columns_markdown};
pub use evidence::{
    BaseEvidence, ChosenEvidence, CostEvidence, CurvePoint, DistilEvidence, DistilledLayer, Evidence,
    ItemEvidence, MissingCell, Round, SearchEvidence, StageEvidence, TestEvidence, TimingEvidence,
};
pub use gather::gather;
pub use report_data::Reckoned;
pub use schema::{ColumnSpec, Row, TableSpec};
pub use text::table1_text;

use dtr_core::error::Result;

/// Writes every table and figure, and the page that shows them; returns the files, tables first.
pub fn write(reckoned: &Reckoned<'_>, tables_dir: &Path, figures_dir: &Path) -> Result<Vec<PathBuf>> {
    let (tables, figures) = (tables::lay_out(reckoned)?, figures::draw(reckoned)?);
    lock::alone(tables_dir, figures_dir, || {
        let mut paths = tables::write(&tables, tables_dir)?;
        paths.extend(figures::write(&figures, figures_dir)?);
        paths.push(page::write(reckoned, &tables, &figures, tables_dir)?);
        Ok(paths)
    })
}
