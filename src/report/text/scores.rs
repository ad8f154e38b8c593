//! The scores: a table for each model and setting, tasks down, variants across, like the paper's Table 1.

use std::collections::BTreeSet;

use super::grid::{grid, wrapped};
use crate::report::columns::SearchRow;
use crate::report::paired::SIGNIFICANCE;
use crate::report::report_data::ReportData;

/// The tables of scores with their legend; nothing without searches.
pub(super) fn scores_text(data: &ReportData<'_>) -> String {
    let (evidence, rows) = (data.evidence, &data.searches);
    if rows.is_empty() {
        return String::new();
    }
    let sections: BTreeSet<(&str, &str)> = rows.iter().map(|row| (&*row.model, &*row.axes)).collect();
    let mut text = wrapped(&format!("{}: {}", evidence.experiment, evidence.title), "  ") + "\n";
    for (model, axes) in sections {
        let of_section = rows.iter().filter(|row| row.model == model && row.axes == axes);
        text.push_str(&section(&of_section.collect::<Vec<_>>()));
        text.push('\n');
    }
    text + &legend(rows, evidence.confidence) + &paper(rows) + &truncation(rows)
}

fn section(rows: &[&SearchRow]) -> String {
    let first = rows[0];
    let axes = if first.axes.is_empty() { String::new() } else { format!(", {}", first.axes) };
    let heading = wrapped(&format!("{} ({} layers){axes}", first.model, first.num_layers), "  ");
    let tasks: BTreeSet<&str> = rows.iter().map(|row| &*row.task).collect();
    let variants: BTreeSet<&str> = rows.iter().map(|row| &*row.variant).collect();
    let headings = ["task", "items", "base"].into_iter().chain(variants.iter().copied());
    let mut lines = vec![headings.map(str::to_owned).collect::<Vec<_>>()];
    for task in tasks {
        let of_task: Vec<&SearchRow> = rows.iter().copied().filter(|row| row.task == task).collect();
        lines.push(task_line(task, &variants, &of_task));
    }
    heading + &grid(&lines)
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

/// How many of the paper's cells are beside, and in how many its scores lie in our intervals; nothing without any.
fn paper(rows: &[SearchRow]) -> String {
    let beside: Vec<&SearchRow> = rows.iter().filter(|row| row.cell_paper.is_some()).collect();
    if beside.is_empty() {
        return String::new();
    }
    let inside = |is_inside: fn(&SearchRow) -> Option<bool>| {
        beside.iter().filter(|row| is_inside(row) == Some(true)).count()
    };
    wrapped(
        &format!(
            "The paper (arXiv 2601.11667 v2) has a score for {} of {} rows. Our interval holds its base's in {}, its \
             hybrid's in {}.",
            beside.len(),
            rows.len(),
            inside(|row| row.p_base_paper_inside),
            inside(|row| row.p_best_paper_inside)
        ),
        "  ",
    )
}

/// What is said of items that did not fit; nothing when all did.
fn truncation(rows: &[SearchRow]) -> String {
    let cut: BTreeSet<(&str, &str, u64)> = rows
        .iter()
        .filter(|row| row.truncated_items > 0)
        .map(|row| (&*row.model, &*row.task, row.truncated_items))
        .collect();
    let line = |(model, task, count): (&str, &str, u64)| {
        wrapped(
            &format!("{model} / {task}: {count} test items lost their beginning to fit the context."),
            "  ",
        )
    };
    cut.into_iter().map(line).collect()
}

fn legend(rows: &[SearchRow], confidence: f64) -> String {
    let num_matching = rows.iter().filter(|row| row.matches_base).count();
    let num_differing = rows.iter().filter(|row| row.p_value_best < SIGNIFICANCE).count();
    let num_corrected = rows.iter().filter(|row| row.q_value_best < SIGNIFICANCE).count();
    wrapped(
        &format!(
            "Test scores in percent. base ± half its {:.0} % Wilson interval; for each variant the score of \
             the hybrid with the highest validation score / its number of replaced layers.",
            100.0 * confidence
        ),
        "",
    ) + &wrapped(
        &format!(
            "* matches or exceeds the base: {num_matching} of {}. Different from it at p < {SIGNIFICANCE}: \
             {num_differing} one by one (exact McNemar test on the same items), {num_corrected} of all at a false \
             discovery rate of {SIGNIFICANCE} (Benjamini and Hochberg).",
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
    fn the_papers_scores_are_counted_where_there_are_some() {
        let mut evidence = fixture::of_paper("Qwen2.5-1.5B");
        evidence.searches.truncate(2);
        // The paper: 72.0 for the base on ARC easy, 73.0 on BoolQ; 62 % of 200 items is below either.
        evidence.searches[0].base = fixture::answers(144, 200);
        evidence.searches[1].base = fixture::answers(124, 200);
        let text = scores_text(&ReportData::new(&evidence));
        assert!(text.contains("has a score for 2 of 2 rows. Our interval holds\n"), "{text}");
        assert!(text.contains("its base's in 1, its hybrid's in "), "{text}");
        assert!(!scores_text(&ReportData::new(&fixture::of_paper("mini"))).contains("The paper"));
    }
}
