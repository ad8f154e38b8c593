//! The list of missing cells, with reasons and the command that computes them.

use super::format::wrap_words;
use crate::report::evidence::{Evidence, MissingCell};

/// Formats a line for each missing cell, and a hint; empty if all cells are done.
pub(super) fn missing_text(evidence: &Evidence) -> String {
    if evidence.missing.is_empty() {
        return String::new();
    }
    let mut cells: Vec<_> = evidence.missing.iter().collect();
    cells.sort_by_key(|cell| (&cell.model, &cell.variant, &cell.task, &cell.key));
    let lines: String = cells.iter().map(|cell| wrap_words(&line(cell), "    ")).collect();
    let (noun, pronoun) = if cells.len() == 1 { ("cell", "it") } else { ("cells", "them") };
    format!("missing: {} {noun}\n{lines}hint: run `{}` to compute {pronoun}\n", cells.len(), evidence.command)
}

fn line(cell: &MissingCell) -> String {
    let name = [&cell.model, &cell.variant, &cell.task];
    let name: Vec<&str> = name.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let key: String = cell.key.chars().take(12).collect();
    format!("  {} ({key}): {}", name.join(" / "), cell.why)
}
