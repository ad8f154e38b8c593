//! The tables of test scores, in the layout of the paper's Table 1. The rows are tasks, and the columns are
//! variants. There is one table for each base and each combination of values of the other sweep axes.

use std::collections::BTreeSet;

use super::format::{format_table, wrap_words};
use crate::report::columns::SearchRow;
use crate::report::paired::SIGNIFICANCE;
use crate::report::report_data::ReportData;

/// Returns the tables of test scores with their legend. Returns an empty text if there are no searches.
pub(super) fn scores_text(data: &ReportData<'_>) -> String {
    let (records, rows) = (data.records, &data.searches);
    if rows.is_empty() {
        return String::new();
    }
    let sections: BTreeSet<(&str, &str)> = rows.iter().map(|row| (&*row.model, &*row.axes)).collect();
    let mut text = wrap_words(&format!("{}: {}", records.experiment, records.title), "  ") + "\n";
    for (model, axes) in sections {
        let of_section = rows.iter().filter(|row| row.model == model && row.axes == axes);
        text.push_str(&section(&of_section.collect::<Vec<_>>()));
        text.push('\n');
    }
    text + &legend(rows, records.confidence) + &paper_comparison(rows) + &truncated_items(rows)
}

fn section(rows: &[&SearchRow]) -> String {
    let first = rows[0];
    let axes = if first.axes.is_empty() { String::new() } else { format!(", {}", first.axes) };
    let heading = wrap_words(&format!("{} ({} layers){axes}", first.model, first.num_layers), "  ");
    let tasks: BTreeSet<&str> = rows.iter().map(|row| &*row.task).collect();
    let variants: BTreeSet<&str> = rows.iter().map(|row| &*row.variant).collect();
    let headings = ["task", "items", "base"].into_iter().chain(variants.iter().copied());
    let mut lines = vec![headings.map(str::to_owned).collect::<Vec<_>>()];
    for task in tasks {
        let of_task: Vec<&SearchRow> = rows.iter().copied().filter(|row| row.task == task).collect();
        lines.push(task_line(task, &variants, &of_task));
    }
    heading + &format_table(&lines)
}

fn task_line(task: &str, variants: &BTreeSet<&str>, rows: &[&SearchRow]) -> Vec<String> {
    let half_width = 50.0 * (rows[0].p_base_high - rows[0].p_base_low);
    let base = format!("{:.1} ± {half_width:.1}", 100.0 * rows[0].p_base);
    let hybrid = |variant: &&str| match rows.iter().find(|row| row.variant == *variant) {
        Some(row) => hybrid_text(row),
        None => "missing".to_owned(),
    };
    let start = [task.to_owned(), rows[0].items.to_string(), base];
    start.into_iter().chain(variants.iter().map(hybrid)).collect()
}

fn hybrid_text(row: &SearchRow) -> String {
    let star = if row.matches_base { '*' } else { ' ' };
    format!("{:.1}{star} /{:>3}", 100.0 * row.p_best, row.num_replaced)
}

/// Counts the rows for which the paper has a score, and the rows whose interval contains the paper's score.
/// Returns an empty text if the paper has no score for any row.
fn paper_comparison(rows: &[SearchRow]) -> String {
    let matched: Vec<&SearchRow> = rows.iter().filter(|row| row.cell_paper.is_some()).collect();
    if matched.is_empty() {
        return String::new();
    }
    let inside = |is_inside: fn(&SearchRow) -> Option<bool>| {
        matched.iter().filter(|row| is_inside(row) == Some(true)).count()
    };
    wrap_words(
        &format!(
            "The paper (arXiv 2601.11667 v2) has scores for {} of {} rows. The interval of this experiment \
             contains the paper's score of the base in {} rows and that of the hybrid in {}.",
            matched.len(),
            rows.len(),
            inside(|row| row.p_base_paper_inside),
            inside(|row| row.p_best_paper_inside)
        ),
        "  ",
    )
}

/// Counts the truncated items of each model and task. Returns an empty text if no item is truncated.
fn truncated_items(rows: &[SearchRow]) -> String {
    let cut: BTreeSet<(&str, &str, u64)> = rows
        .iter()
        .filter(|row| row.truncated_items > 0)
        .map(|row| (&*row.model, &*row.task, row.truncated_items))
        .collect();
    let line = |(model, task, count): (&str, &str, u64)| {
        wrap_words(
            &format!("{model} / {task}: the beginning of {count} test items was cut off to fit the context."),
            "  ",
        )
    };
    cut.into_iter().map(line).collect()
}

fn legend(rows: &[SearchRow], confidence: f64) -> String {
    let num_matching = rows.iter().filter(|row| row.matches_base).count();
    let num_differing = rows.iter().filter(|row| row.p_value_best < SIGNIFICANCE).count();
    let num_corrected = rows.iter().filter(|row| row.q_value_best < SIGNIFICANCE).count();
    wrap_words(
        &format!(
            "All scores are test scores in percent. The number after ± is half the width of the base's \
             {:.0} % confidence interval. A variant's column describes its hybrid with the highest validation \
             score: the hybrid's test score, and after the slash its number of replaced layers.",
            100.0 * confidence
        ),
        "",
    ) + &wrap_words(
        &format!(
            "* This hybrid scores at least as high as the base. This holds for {num_matching} of {} hybrids. \
             Hybrids that differ from the base in a paired test on the same items: {num_differing} \
             at p < {SIGNIFICANCE}, and {num_corrected} at a false discovery rate of {SIGNIFICANCE} \
             (Benjamini-Hochberg).",
            rows.len()
        ),
        "  ",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn rows_with_scores_of_the_paper_are_counted() {
        let mut records = fixture::records_of_hub_base("Qwen2.5-1.5B");
        records.searches.truncate(2);
        // The paper's scores of the base are 72.0 on ARC easy and 73.0 on BoolQ. The base answers 72 % of the
        // items in the first search, and the interval contains the paper's score. The base answers 62 % in
        // the second search, and the interval does not contain the paper's score.
        records.searches[0].base_answers = fixture::answers(144, 200);
        records.searches[1].base_answers = fixture::answers(124, 200);
        let text = scores_text(&ReportData::new(&records));
        let text = text.replace("\n  ", " ");
        assert!(text.contains("has scores for 2 of 2 rows."), "{text}");
        assert!(
            text.contains("the paper's score of the base in 1 rows and that of the hybrid in "),
            "{text}"
        );
        assert!(!scores_text(&ReportData::new(&fixture::records_of_hub_base("mini"))).contains("The paper"));
    }
}
