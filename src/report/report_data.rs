//! The data of a report. The tables, the figures, the HTML page and the terminal text share this data.

use super::columns::{AgreementRow, SearchRow};
use super::experiment_records::ExperimentRecords;
use super::rows;

/// The records of an experiment, and the rows of two tables. Significance tests and confidence intervals need
/// many random resamples, so these rows are computed only once.
pub struct ReportData<'a> {
    /// The stored results of the experiment.
    pub records: &'a ExperimentRecords,
    /// Rows of the table `searches`.
    pub(super) searches: Vec<SearchRow>,
    /// Rows of the table `agreement`.
    pub(super) agreement: Vec<AgreementRow>,
}

impl<'a> ReportData<'a> {
    /// Computes the rows from `records`.
    pub fn new(records: &'a ExperimentRecords) -> Self {
        Self { records, searches: rows::search_rows(records), agreement: rows::agreement_rows(records) }
    }
}
