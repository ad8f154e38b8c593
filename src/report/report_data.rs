//! Evidence, and of its rows those that resampling makes slow: reckoned once, for tables, figures, page and text.

use super::columns::{AgreementRow, Table1Row};
use super::evidence::Evidence;
use super::rows;

/// Evidence with the rows of `table1` and `agreement`.
pub struct Reckoned<'a> {
    /// What they are reckoned from.
    pub evidence: &'a Evidence,
    pub(super) table1: Vec<Table1Row>,
    pub(super) agreement: Vec<AgreementRow>,
}

impl<'a> Reckoned<'a> {
    /// Reckons the rows of `evidence`.
    pub fn of(evidence: &'a Evidence) -> Self {
        Self { evidence, table1: rows::table1(evidence), agreement: rows::agreement(evidence) }
    }
}
