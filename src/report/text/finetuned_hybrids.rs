//! The table of the fine-tuned hybrids, beside their controls.

use super::format::format_table;
use crate::report::columns::FinetunedHybridRow;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::paired::SIGNIFICANCE;
use crate::report::rows;

/// Returns the table with a line for each fine-tuned hybrid. Returns an empty text if there are none.
pub(super) fn finetuned_hybrids_text(records: &ExperimentRecords) -> String {
    let rows = rows::finetuned_hybrid_rows(records);
    if rows.is_empty() {
        return String::new();
    }
    let names = ["model", "task", "variant", "layers", "base", "tuned", "hybrid", "tuned", "difference"];
    let hybrids = rows.chunk_by(|a, b| a.cell_key == b.cell_key);
    let header = names.map(str::to_owned).to_vec();
    let mut table: Vec<Vec<String>> = std::iter::once(header).chain(hybrids.map(line)).collect();
    if rows.iter().all(|row| row.model == rows[0].model) {
        table.iter_mut().for_each(|line| drop(line.remove(0)));
    }
    format!(
        "{}\nTest scores in percent of the base and of a hybrid, before and after fine-tuning\n\
         on the train split of the task. The last column is the difference between the\n\
         two fine-tuned models, in points.\n\
         * The difference from the model before, or from the fine-tuned base, has\n  p < {SIGNIFICANCE}.\n",
        format_table(&table)
    )
}

/// Returns the line of a hybrid. `rows` are the rows of its models.
fn line(rows: &[FinetunedHybridRow]) -> Vec<String> {
    let find = |state: &str| rows.iter().find(|row| row.state == state);
    let mark = |p_value: Option<f64>| if p_value.is_some_and(|p| p < SIGNIFICANCE) { "*" } else { "" };
    let score = |state: &str| {
        find(state).map_or_else(
            || "-".to_owned(),
            |row| format!("{:.1}{}", 100.0 * row.p_test, mark(row.p_value_gain)),
        )
    };
    let difference = find("hybrid-finetuned").and_then(|row| Some((row.difference?, row.p_value)));
    vec![
        rows[0].model.clone(),
        rows[0].task.clone(),
        rows[0].variant.clone(),
        rows[0].num_replaced.to_string(),
        score("base"),
        score("base-finetuned"),
        score("hybrid"),
        score("hybrid-finetuned"),
        difference.map_or_else(|| "-".to_owned(), |(points, p)| format!("{points:+.1}{}", mark(p))),
    ]
}
