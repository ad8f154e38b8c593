//! The scores in short: tasks down, variants across, as the paper's Table 1 has them, each with its record.

use std::collections::BTreeSet;

use serde::Serialize;

use super::records::Records;
use crate::report::columns::SearchRow;
use crate::report::evidence::SearchEvidence;
use crate::report::report_data::ReportData;
use crate::report::rows::sorted_searches;

/// The scores of one base under one setting of the further axes.
#[derive(Serialize)]
pub(super) struct Scores {
    heading: String,
    variants: Vec<String>,
    tasks: Vec<Line>,
}

/// The scores of one task.
#[derive(Serialize)]
struct Line {
    task: String,
    items: u64,
    base: Score,
    /// By variant; none where the search is missing.
    hybrids: Vec<Option<Score>>,
}

/// A score in percent.
#[derive(Serialize)]
struct Score {
    percent: String,
    /// The ends of its interval in percent.
    interval: String,
    /// Layers that the hybrid has replaced.
    num_replaced: u32,
    /// Whether it matches or exceeds the base.
    matches_base: bool,
    href: Option<String>,
}

type Found<'a> = (&'a SearchEvidence, &'a SearchRow);

/// A table for each base and setting; none without searches.
pub(super) fn scores(data: &ReportData<'_>, records: &Records) -> Vec<Scores> {
    let found: Vec<Found<'_>> = sorted_searches(data.evidence).into_iter().zip(&data.searches).collect();
    let sections: BTreeSet<(&str, &str)> = found.iter().map(|(_, row)| (&*row.model, &*row.axes)).collect();
    let section = |(model, axes): (&str, &str)| {
        let of_section = found.iter().filter(|(_, row)| row.model == model && row.axes == axes);
        scores_of(&of_section.collect::<Vec<_>>(), records)
    };
    sections.into_iter().map(section).collect()
}

fn scores_of(found: &[&Found<'_>], records: &Records) -> Scores {
    let first = found[0].1;
    let axes = if first.axes.is_empty() { String::new() } else { format!(", {}", first.axes) };
    let variants: BTreeSet<&str> = found.iter().map(|(_, row)| &*row.variant).collect();
    let tasks: BTreeSet<&str> = found.iter().map(|(_, row)| &*row.task).collect();
    let line = |task: &str| {
        let of_task: Vec<&Found<'_>> = found.iter().copied().filter(|(_, row)| row.task == task).collect();
        let of_variant = |variant: &&str| of_task.iter().find(|(_, row)| row.variant == *variant);
        Line {
            task: task.to_owned(),
            items: of_task[0].1.items,
            base: base(of_task[0], records),
            hybrids: variants.iter().map(|name| of_variant(name).map(|found| best(found, records))).collect(),
        }
    };
    Scores {
        heading: format!("{}, {} layers{axes}", first.model, first.num_layers),
        tasks: tasks.into_iter().map(line).collect(),
        variants: variants.into_iter().map(str::to_owned).collect(),
    }
}

fn base((search, row): &Found<'_>, records: &Records) -> Score {
    Score {
        percent: percent(row.p_base),
        interval: interval(row.p_base_low, row.p_base_high),
        num_replaced: 0,
        matches_base: false,
        href: records.link(&search.base.cell),
    }
}

fn best((search, row): &Found<'_>, records: &Records) -> Score {
    Score {
        percent: percent(row.p_best),
        interval: interval(row.p_best_low, row.p_best_high),
        num_replaced: row.num_replaced,
        matches_base: row.matches_base,
        href: records.link(&search.best.test.cell),
    }
}

fn percent(score: f64) -> String {
    format!("{:.1}", 100.0 * score)
}

fn interval(low: f64, high: f64) -> String {
    format!("{} to {}", percent(low), percent(high))
}
