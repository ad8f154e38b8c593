//! The tables of test scores on the page. The tables have the layout of the paper's Table 1, and link to
//! records.

use std::collections::BTreeSet;

use serde::Serialize;

use super::record_links::RecordLinks;
use crate::report::columns::SearchRow;
use crate::report::experiment_records::SearchCell;
use crate::report::report_data::ReportData;
use crate::report::rows::sorted_searches;

/// Test scores of one base, for one combination of values of the sweep axes other than model, variant and
/// task.
#[derive(Serialize)]
pub(super) struct ScoreTable {
    heading: String,
    variants: Vec<String>,
    tasks: Vec<TaskScores>,
}

/// Test scores on one task.
#[derive(Serialize)]
struct TaskScores {
    task: String,
    items: u64,
    base: DisplayedScore,
    /// The score of each variant's `M_best`, in the order of [`ScoreTable::variants`]. `None` if the search
    /// is not done.
    hybrids: Vec<Option<DisplayedScore>>,
}

/// A formatted test score.
#[derive(Serialize)]
struct DisplayedScore {
    percent: String,
    /// Confidence interval in percent.
    interval: String,
    /// Number of layers that the hybrid replaces. 0 for a base.
    num_replaced: u32,
    /// Whether the hybrid scores at least as high as the base. False for a base.
    matches_base: bool,
    /// Path of the score's record, relative to the page.
    href: Option<String>,
}

/// A search and its row of the table `searches`.
type SearchWithRow<'a> = (&'a SearchCell, &'a SearchRow);

/// Returns one table for each base and each combination of values of the sweep axes other than model, variant
/// and task.
pub(super) fn score_tables(data: &ReportData<'_>, links: &RecordLinks) -> Vec<ScoreTable> {
    let found: Vec<SearchWithRow<'_>> =
        sorted_searches(data.records).into_iter().zip(&data.searches).collect();
    let sections: BTreeSet<(&str, &str)> = found.iter().map(|(_, row)| (&*row.model, &*row.axes)).collect();
    let section = |(model, axes): (&str, &str)| {
        let of_section = found.iter().filter(|(_, row)| row.model == model && row.axes == axes);
        score_table(&of_section.collect::<Vec<_>>(), links)
    };
    sections.into_iter().map(section).collect()
}

fn score_table(found: &[&SearchWithRow<'_>], links: &RecordLinks) -> ScoreTable {
    let first = found[0].1;
    let axes = if first.axes.is_empty() { String::new() } else { format!(", {}", first.axes) };
    let variants: BTreeSet<&str> = found.iter().map(|(_, row)| &*row.variant).collect();
    let tasks: BTreeSet<&str> = found.iter().map(|(_, row)| &*row.task).collect();
    let line = |task: &str| {
        let of_task: Vec<&SearchWithRow<'_>> =
            found.iter().copied().filter(|(_, row)| row.task == task).collect();
        let of_variant = |variant: &&str| of_task.iter().find(|(_, row)| row.variant == *variant);
        TaskScores {
            task: task.to_owned(),
            items: of_task[0].1.items,
            base: base_score(of_task[0], links),
            hybrids: variants
                .iter()
                .map(|name| of_variant(name).map(|found| best_score(found, links)))
                .collect(),
        }
    };
    ScoreTable {
        heading: format!("{}, {} layers{axes}", first.model, first.num_layers),
        tasks: tasks.into_iter().map(line).collect(),
        variants: variants.into_iter().map(str::to_owned).collect(),
    }
}

fn base_score((search, row): &SearchWithRow<'_>, links: &RecordLinks) -> DisplayedScore {
    DisplayedScore {
        percent: percent(row.p_base),
        interval: interval(row.p_base_low, row.p_base_high),
        num_replaced: 0,
        matches_base: false,
        href: links.record_path(&search.base_answers.cell.key.to_string()),
    }
}

fn best_score((search, row): &SearchWithRow<'_>, links: &RecordLinks) -> DisplayedScore {
    DisplayedScore {
        percent: percent(row.p_best),
        interval: interval(row.p_best_low, row.p_best_high),
        num_replaced: row.num_replaced,
        matches_base: row.matches_base,
        href: links.record_path(&search.best_answers.cell.key.to_string()),
    }
}

fn percent(score: f64) -> String {
    format!("{:.1}", 100.0 * score)
}

fn interval(low: f64, high: f64) -> String {
    format!("{} to {}", percent(low), percent(high))
}
