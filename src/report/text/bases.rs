//! The table of the bases' test scores. A report has this table only if the sweep has no variants.

use super::format::format_table;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::rows;

/// Returns the table with a line for each base and task. Returns an empty text if the table has no lines.
pub(super) fn bases_text(records: &ExperimentRecords) -> String {
    let rows = rows::base_score_rows(records);
    if rows.is_empty() {
        return String::new();
    }
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let header = ["base", "task", "score", "low", "high", "items"].map(str::to_owned).to_vec();
    let lines = rows.iter().map(|row| {
        vec![
            row.model.clone(),
            row.task.clone(),
            percent(row.p_base),
            percent(row.p_base_low),
            percent(row.p_base_high),
            row.items.to_string(),
        ]
    });
    let table: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    format!("Bases: percentage of correct answers on the test split\n\n{}", format_table(&table))
}
