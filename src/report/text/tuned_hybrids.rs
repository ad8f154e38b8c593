//! The table of the hybrids that were trained after their searches, beside their controls.

use super::format::format_table;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::paired::SIGNIFICANCE;
use crate::report::rows;

/// Returns the table with a line for each trained hybrid. Returns an empty text if there are none.
pub(super) fn tuned_hybrids_text(records: &ExperimentRecords) -> String {
    let rows = rows::tuned_hybrid_rows(records);
    if rows.is_empty() {
        return String::new();
    }
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let names = ["task", "variant", "layers", "divergence", "base", "hybrid", "trained", "closed"];
    let lines = rows.iter().map(|row| {
        let mark = if row.p_value_gain < SIGNIFICANCE { "*" } else { "" };
        vec![
            row.task.clone(),
            row.variant.clone(),
            row.num_replaced.to_string(),
            format!("{:.3} -> {:.3}", row.divergence_before, row.divergence_after),
            percent(row.p_base),
            percent(row.p_hybrid),
            format!("{}{mark}", percent(row.p_tuned)),
            row.gap_closed.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", 100.0 * share)),
        ]
    });
    let header = names.map(str::to_owned).to_vec();
    let table: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    format!(
        "{}\nHybrids trained after their search: replaced layers, divergence from the base in\n\
         nats per token, and test scores in percent of base, hybrid, and trained hybrid.\n\
         The last column is the part of the gap between base and hybrid that is closed.\n\
         * The trained hybrid differs from the hybrid before at p < {SIGNIFICANCE}.\n",
        format_table(&table)
    )
}
