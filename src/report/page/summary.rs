//! The findings of an experiment as sentences, and its missing cells.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::report::columns::SearchRow;
use crate::report::experiment_records::{DistilCell, ExperimentRecords, MissingCell};
use crate::report::paired::SIGNIFICANCE;
use crate::report::report_data::ReportData;
use crate::report::rows::base_score_rows;
use crate::stats::median;

/// The cells of the experiment that are not done.
#[derive(Serialize)]
pub(super) struct MissingCells<'a> {
    /// The command that computes the cells.
    command: &'a str,
    /// The name of each cell, its shortened key, and the reason why it is missing.
    cells: Vec<(String, String, &'a str)>,
}

/// Returns the missing cells and the command that computes them, or `None` if all cells are done.
pub(super) fn missing_cells(records: &ExperimentRecords) -> Option<MissingCells<'_>> {
    let mut cells: Vec<&MissingCell> = records.missing.iter().collect();
    cells.sort_by_key(|cell| (&cell.labels, cell.key));
    let name = |cell: &MissingCell| {
        let labels = &cell.labels;
        let parts = [Some(&labels.model), labels.variant.as_ref(), labels.task.as_ref()];
        parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" / ")
    };
    let cells: Vec<_> =
        cells.into_iter().map(|cell| (name(cell), cell.key.short(), cell.reason.as_str())).collect();
    (!cells.is_empty()).then_some(MissingCells { command: &records.command, cells })
}

/// Returns the findings of the experiment. Each finding is a text of one or a few sentences.
pub(super) fn findings(data: &ReportData<'_>) -> Vec<String> {
    let (records, rows) = (data.records, &data.searches);
    let mut findings = Vec::new();
    if !rows.is_empty() {
        findings.push(search_counts(rows));
        findings.extend([BEST, OPT].map(|hybrid| hybrid_scores(rows, hybrid)));
    }
    findings.extend(base_scores(records));
    findings.extend(distillation_errors(&records.distillations));
    findings.extend(shared_splits(rows));
    findings.extend(truncated_items(rows));
    findings
}

fn search_counts(rows: &[SearchRow]) -> String {
    let count = |of: fn(&SearchRow) -> &String| rows.iter().map(of).collect::<BTreeSet<_>>().len();
    format!(
        "{} over {}, {} and {}.",
        pluralize(rows.len(), "finished search", "finished searches"),
        pluralize(count(|row| &row.model), "base", "bases"),
        pluralize(count(|row| &row.variant), "linear variant", "linear variants"),
        pluralize(count(|row| &row.task), "task", "tasks"),
    )
}

/// The columns of the table `searches` for one of the two chosen hybrids, `M_best` or `M_opt`.
#[derive(Clone, Copy)]
struct HybridColumns {
    name: &'static str,
    num_replaced: fn(&SearchRow) -> u32,
    score: fn(&SearchRow) -> f64,
    p_value: fn(&SearchRow) -> f64,
}

const BEST: HybridColumns = HybridColumns {
    name: "M_best",
    num_replaced: |row| row.num_replaced,
    score: |row| row.p_best,
    p_value: |row| row.p_value_best,
};

const OPT: HybridColumns = HybridColumns {
    name: "M_opt",
    num_replaced: |row| row.num_replaced_opt,
    score: |row| row.p_opt,
    p_value: |row| row.p_value_opt,
};

fn hybrid_scores(rows: &[SearchRow], hybrid: HybridColumns) -> String {
    let percentages: Vec<f64> = rows
        .iter()
        .map(|row| 100.0 * f64::from((hybrid.num_replaced)(row)) / f64::from(row.num_layers.max(1)))
        .collect();
    let num_matching = rows.iter().filter(|row| (hybrid.score)(row) >= row.p_base).count();
    let num_differing = rows.iter().filter(|row| (hybrid.p_value)(row) < SIGNIFICANCE).count();
    format!(
        "{} replaces {} of the layers of its base. On the test split it scores at least as high as the base \
         in {num_matching} of {}. The scores differ with p < {SIGNIFICANCE} in {num_differing} (paired test on \
         the same items, without correction for multiple comparisons: McNemar's exact test, or a permutation \
         test if some answers are neither right nor wrong).",
        hybrid.name,
        percent_range(&percentages),
        pluralize(rows.len(), "search", "searches"),
    )
}

/// Summarises the scores of bases in a sweep without variants. Returns `None` if there are no such scores.
fn base_scores(records: &ExperimentRecords) -> Option<String> {
    let scores: Vec<f64> = base_score_rows(records).iter().map(|row| 100.0 * row.p_base).collect();
    (!scores.is_empty()).then(|| {
        let num_scores = pluralize(scores.len(), "test score of a base", "test scores of bases");
        format!("{num_scores} without hybrids: {} %.", range(&scores, 1))
    })
}

/// Summarises the errors of the twins relative to the variance of the attention output. Returns `None` if no
/// distillation has such an error.
fn distillation_errors(distillations: &[DistilCell]) -> Option<String> {
    let (before, after): (Vec<f64>, Vec<f64>) =
        distillations.iter().filter_map(DistilCell::median_normalised_losses).unzip();
    (!after.is_empty()).then(|| {
        format!(
            "The mean squared error of the twins, relative to the variance of the attention output, has a \
             median over layers of {} after training and {} before.",
            range(&after, 3),
            range(&before, 3)
        )
    })
}

/// Lists the tasks that have the same items in the validation split and the test split. Returns `None` if
/// there are no such tasks.
fn shared_splits(rows: &[SearchRow]) -> Option<String> {
    let tasks: BTreeSet<&str> =
        rows.iter().filter(|row| row.splits == "as-published").map(|row| &*row.task).collect();
    let names = tasks.iter().copied().collect::<Vec<_>>().join(", ");
    (!tasks.is_empty()).then(|| {
        format!("The same items serve as validation and test split, so the test scores are biased by selection: {names}.")
    })
}

/// Lists the tasks with truncated test items. Returns `None` if there are no such tasks.
fn truncated_items(rows: &[SearchRow]) -> Option<String> {
    let cut: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.truncated_items > 0)
        .map(|row| format!("{} / {} ({})", row.model, row.task, row.truncated_items))
        .collect();
    let names = cut.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (!cut.is_empty())
        .then(|| format!("Test items whose beginning was cut off to fit the context of the base: {names}."))
}

/// Formats the range of values as `low to high`, or as one value if both ends are equal.
fn range(values: &[f64], decimals: usize) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let [low, high] = [low, high].map(|end| format!("{end:.decimals$}"));
    if low == high { low } else { format!("{low} to {high}") }
}

/// Formats percentages as a range with the median, or as one value if all are equal.
fn percent_range(percentages: &[f64]) -> String {
    match (range(percentages, 0), median(percentages)) {
        (range, Some(median)) if range.contains(' ') => format!("{range} % (median {median:.0} %)"),
        (range, _) => format!("{range} %"),
    }
}

/// Formats a count with its noun.
fn pluralize(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
