//! The list of missing cells, with the reason for each cell and the command that computes the cells.

use super::format::wrap_words;
use crate::report::experiment_records::{ExperimentRecords, MissingCell};

/// Returns a line for each missing cell, and a hint. Returns an empty text if all cells are done.
pub(super) fn missing_text(records: &ExperimentRecords) -> String {
    if records.missing.is_empty() {
        return String::new();
    }
    let mut cells: Vec<_> = records.missing.iter().collect();
    cells.sort_by_key(|cell| (&cell.labels, cell.key));
    let lines: String = cells.iter().map(|cell| wrap_words(&line(cell), "    ")).collect();
    let (noun, pronoun) = if cells.len() == 1 { ("cell", "it") } else { ("cells", "them") };
    format!("missing: {} {noun}\n{lines}hint: run `{}` to compute {pronoun}\n", cells.len(), records.command)
}

fn line(cell: &MissingCell) -> String {
    let labels = &cell.labels;
    let name = [Some(&labels.model), labels.variant.as_ref(), labels.task.as_ref()];
    let name: Vec<&str> = name.into_iter().flatten().map(String::as_str).collect();
    let key = cell.key.short();
    format!("  {} ({key}): {}", name.join(" / "), cell.reason)
}
