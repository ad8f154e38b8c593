//! What holds, in sentences that are counted from the tables, and what is missing.

use std::collections::BTreeSet;

use serde::Serialize;

use super::cells::short;
use crate::report::columns::SearchRow;
use crate::report::evidence::{DistilEvidence, Evidence, MissingCell};
use crate::report::paired::SIGNIFICANCE;
use crate::report::report_data::ReportData;
use crate::report::rows::base_rows;
use crate::stats::median;

/// The cells that the experiment names and that are not there.
#[derive(Serialize)]
pub(super) struct Missing<'a> {
    command: &'a str,
    cells: Vec<(String, String, &'a str)>,
}

/// The missing cells with what makes them; none when all are there.
pub(super) fn missing(evidence: &Evidence) -> Option<Missing<'_>> {
    let mut cells: Vec<&MissingCell> = evidence.missing.iter().collect();
    cells.sort_by_key(|cell| (&cell.model, &cell.variant, &cell.task, &cell.key));
    let name = |cell: &MissingCell| {
        let parts = [&cell.model, &cell.variant, &cell.task].map(String::as_str);
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" / ")
    };
    let cells: Vec<_> =
        cells.into_iter().map(|cell| (name(cell), short(&cell.key), cell.why.as_str())).collect();
    (!cells.is_empty()).then_some(Missing { command: &evidence.command, cells })
}

/// What can be said of all searches together, a sentence each.
pub(super) fn findings(data: &ReportData<'_>) -> Vec<String> {
    let (evidence, rows) = (data.evidence, &data.searches);
    let mut findings = Vec::new();
    if !rows.is_empty() {
        findings.push(extent(rows));
        findings.extend([BEST, OPT].map(|system| hybrids(rows, system)));
    }
    findings.extend(alone(evidence));
    findings.extend(twins(&evidence.distillations));
    findings.extend(selected_on(rows));
    findings.extend(truncated(rows));
    findings
}

fn extent(rows: &[SearchRow]) -> String {
    let count = |of: fn(&SearchRow) -> &String| rows.iter().map(of).collect::<BTreeSet<_>>().len();
    format!(
        "{}: {}, {} and {}.",
        counted(rows.len(), "search ended", "searches ended"),
        counted(count(|row| &row.model), "base", "bases"),
        counted(count(|row| &row.variant), "linear variant", "linear variants"),
        counted(count(|row| &row.task), "task", "tasks"),
    )
}

/// One of the two hybrids that a search chose.
#[derive(Clone, Copy)]
struct System {
    name: &'static str,
    num_replaced: fn(&SearchRow) -> u32,
    score: fn(&SearchRow) -> f64,
    p_value: fn(&SearchRow) -> f64,
}

const BEST: System = System {
    name: "M_best",
    num_replaced: |row| row.num_replaced,
    score: |row| row.p_best,
    p_value: |row| row.p_value_best,
};

const OPT: System = System {
    name: "M_opt",
    num_replaced: |row| row.num_replaced_opt,
    score: |row| row.p_opt,
    p_value: |row| row.p_value_opt,
};

fn hybrids(rows: &[SearchRow], system: System) -> String {
    let shares: Vec<f64> = rows
        .iter()
        .map(|row| 100.0 * f64::from((system.num_replaced)(row)) / f64::from(row.num_layers.max(1)))
        .collect();
    let num_matching = rows.iter().filter(|row| (system.score)(row) >= row.p_base).count();
    let num_differing = rows.iter().filter(|row| (system.p_value)(row) < SIGNIFICANCE).count();
    format!(
        "{} replaces {} of its base's layers. On the test split it matches or exceeds the base in \
         {num_matching} of {}, and differs from it at p < {SIGNIFICANCE} in {num_differing} (exact McNemar test on \
         the same items, one by one).",
        system.name,
        spread(&shares),
        counted(rows.len(), "search", "searches"),
    )
}

/// What bases score without hybrids beside them; nothing without such.
fn alone(evidence: &Evidence) -> Option<String> {
    let scores: Vec<f64> = base_rows(evidence).iter().map(|row| 100.0 * row.p_base).collect();
    (!scores.is_empty()).then(|| {
        let num_scores = counted(scores.len(), "score", "scores");
        format!("{num_scores} of bases alone on a test split: {} %.", range(&scores, 1))
    })
}

/// How much of the attention's output the twins miss; nothing without distillations.
fn twins(distillations: &[DistilEvidence]) -> Option<String> {
    let (before, after): (Vec<f64>, Vec<f64>) =
        distillations.iter().filter_map(DistilEvidence::median_normalised).unzip();
    (!after.is_empty()).then(|| {
        format!(
            "The twin of the median layer misses {} of the variance of the attention's output, {} before training.",
            range(&after, 3),
            range(&before, 3)
        )
    })
}

fn selected_on(rows: &[SearchRow]) -> Option<String> {
    let tasks: BTreeSet<&str> =
        rows.iter().filter(|row| row.splits == "as-published").map(|row| &*row.task).collect();
    let names = tasks.iter().copied().collect::<Vec<_>>().join(", ");
    (!tasks.is_empty()).then(|| {
        format!("One split serves as validation and test, so that what is reported was selected on: {names}.")
    })
}

fn truncated(rows: &[SearchRow]) -> Option<String> {
    let cut: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.truncated_items > 0)
        .map(|row| format!("{} / {} ({})", row.model, row.task, row.truncated_items))
        .collect();
    let names = cut.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (!cut.is_empty()).then(|| format!("Test items lost their beginning to fit the context: {names}."))
}

/// `low to high`, or the one value that both are.
fn range(values: &[f64], decimals: usize) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let [low, high] = [low, high].map(|end| format!("{end:.decimals$}"));
    if low == high { low } else { format!("{low} to {high}") }
}

/// Shares in percent with their median, where they differ.
fn spread(shares: &[f64]) -> String {
    match (range(shares, 0), median(shares)) {
        (range, Some(median)) if range.contains(' ') => format!("{range} % (median {median:.0} %)"),
        (range, _) => format!("{range} %"),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
