//! The table of distillation errors.

use super::format::format_table;
use crate::report::experiment_records::{DistilCell, ExperimentRecords};
use crate::report::rows::sorted_distillations;

/// Returns the table with a line for each distillation. Returns an empty text if there are no distillations.
pub(super) fn distillations_text(records: &ExperimentRecords) -> String {
    if records.distillations.is_empty() {
        return String::new();
    }
    let headings = ["distillation", "tokens", "parameters", "before", "after"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(sorted_distillations(records).into_iter().map(row));
    format_table(&rows) + "Normalised error (MSE / output variance), median over layers, before and after.\n"
}

fn row(distillation: &DistilCell) -> Vec<String> {
    let (model, variant, _, axes) = distillation.sort_key();
    let name = [model, variant, &axes].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let (before, after) = match distillation.median_normalised_losses() {
        Some((before, after)) => (format!("{before:.3}"), format!("{after:.3}")),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let (tokens, parameters) = (format_count(distillation.tokens), format_count(distillation.num_parameters));
    vec![name.join(" / "), tokens, parameters, before, after]
}

/// Formats a count with three significant digits and a unit prefix.
fn format_count(count: u64) -> String {
    let (value, prefix) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (count as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "M"),
        _ => (count as f64 / 1e9, "G"),
    };
    let num_decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.num_decimals$} {prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_significant_digits() {
        let texts = [999, 1_234, 56_700, 100_000_000, 2_500_000_000].map(format_count);
        assert_eq!(texts, ["999", "1.23 k", "56.7 k", "100 M", "2.50 G"]);
    }
}
