//! The data of a report, computed once for tables, figures, page and text.

use super::columns::{AgreementRow, SearchRow};
use super::evidence::Evidence;
use super::rows;

/// Evidence, and the rows of the tables that take long to compute because they resample.
pub struct ReportData<'a> {
    /// The stored results of the experiment.
    pub evidence: &'a Evidence,
    /// Rows of the table `searches`.
    pub(super) searches: Vec<SearchRow>,
    /// Rows of the table `agreement`.
    pub(super) agreement: Vec<AgreementRow>,
}

impl<'a> ReportData<'a> {
    /// Computes the rows from `evidence`.
    pub fn new(evidence: &'a Evidence) -> Self {
        Self { evidence, searches: rows::search_rows(evidence), agreement: rows::agreement_rows(evidence) }
    }
}
