//! The account of an experiment: tables, figures and a text for the terminal, from evidence alone.
//!
//! Read-only: it never runs anything and does not know where its numbers came from. The same evidence
//! gives the same bytes, whatever the order of its lists.

mod alone;
mod columns;
mod document;
mod evidence;
mod figures;
#[cfg(test)]
mod fixture;
mod gather;
mod measures;
mod page;
mod paired;
mod rows;
mod schema;
mod tables;
mod text;

use std::path::{Path, PathBuf};

pub use columns::{BaseRow, DistillationRow, ItemRow, TABLES, Table1Row, Table2Row, TrajectoryRow, TrialRow};
pub use document::{columns_json, columns_markdown};
pub use evidence::{
    BaseEvidence, ChosenEvidence, CurvePoint, DistilEvidence, DistilledLayer, Evidence, ItemEvidence,
    MissingCell, Round, SearchEvidence, StageEvidence, TestEvidence,
};
pub use gather::gather;
pub use measures::axes_text;
pub use schema::{ColumnSpec, Row, TableSpec};
pub use text::table1_text;

use crate::error::Result;

/// Writes every table and figure, and the page that shows them; returns the files, tables first.
pub fn write(evidence: &Evidence, tables_dir: &Path, figures_dir: &Path) -> Result<Vec<PathBuf>> {
    let (tables, figures) = (tables::lay_out(evidence)?, figures::draw(evidence)?);
    alone::alone(tables_dir, figures_dir, || {
        let mut paths = tables::write(&tables, tables_dir)?;
        paths.extend(figures::write(&figures, figures_dir)?);
        paths.push(page::write(evidence, &tables, &figures, tables_dir)?);
        Ok(paths)
    })
}
