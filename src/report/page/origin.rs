//! What ran, on what, as the records have it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cells::grouped;
use crate::report::evidence::{Evidence, StageEvidence};

/// Something that records say of how they came about.
#[derive(Serialize)]
pub(super) struct Fact {
    name: &'static str,
    value: String,
}

/// What the records say of the cells that are done; nothing without any.
pub(super) fn origin(evidence: &Evidence) -> Vec<Fact> {
    let cells = &evidence.stages;
    if cells.is_empty() {
        return Vec::new();
    }
    let fact = |name, value| Fact { name, value };
    vec![
        fact("Cells", stages(cells)),
        fact("Work", work(cells)),
        fact("Device", distinct(cells, |cell| &cell.device)),
        fact("Machine", distinct(cells, |cell| &cell.machine)),
        fact("Program", distinct(cells, |cell| &cell.program)),
        fact("Finished", days(cells)),
        fact("Intervals", format!("Wilson, {} %", 100.0 * evidence.confidence)),
    ]
}

fn stages(cells: &[StageEvidence]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    cells.iter().for_each(|cell| *counts.entry(&cell.stage).or_default() += 1);
    counts.iter().map(|(stage, count)| format!("{count} {stage}")).collect::<Vec<_>>().join(", ")
}

fn work(cells: &[StageEvidence]) -> String {
    let sum = |count: fn(&StageEvidence) -> u64| grouped(cells.iter().map(count).sum());
    // Sorted, since sums of floats depend on their order.
    let mut seconds: Vec<f64> = cells.iter().map(|cell| cell.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    format!(
        "{} seconds, {} tokens, {} scorings",
        grouped(seconds.iter().sum::<f64>().round() as u64),
        sum(|cell| cell.tokens),
        sum(|cell| cell.evaluations)
    )
}

fn distinct(cells: &[StageEvidence], of: fn(&StageEvidence) -> &str) -> String {
    cells.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}

/// The days from the first to the last cell, UTC.
fn days(cells: &[StageEvidence]) -> String {
    let day = |cell: &StageEvidence| cell.finished.chars().take("YYYY-MM-DD".len()).collect::<String>();
    let days: BTreeSet<String> = cells.iter().map(day).collect();
    match (days.first(), days.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.clone(),
        _ => String::new(),
    }
}
