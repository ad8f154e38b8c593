//! Provenance of the results: cells, resources, devices, machines and versions, from the records.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::values::group_digits;
use crate::report::evidence::{Evidence, StageEvidence};

/// A name and a value of the provenance.
#[derive(Serialize)]
pub(super) struct Fact {
    name: &'static str,
    value: String,
}

/// Returns the provenance of the finished cells; empty if there are none.
pub(super) fn provenance_facts(evidence: &Evidence) -> Vec<Fact> {
    let cells = &evidence.stages;
    if cells.is_empty() {
        return Vec::new();
    }
    let fact = |name, value| Fact { name, value };
    vec![
        fact("Cells", stage_counts(cells)),
        fact("Resources", resources(cells)),
        fact("Device", distinct(cells, |cell| &cell.device)),
        fact("Machine", distinct(cells, |cell| &cell.machine)),
        fact("Program", distinct(cells, |cell| &cell.program)),
        fact("Finished", days(cells)),
        fact("Confidence intervals", format!("Wilson, {} %", 100.0 * evidence.confidence)),
    ]
}

fn stage_counts(cells: &[StageEvidence]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    cells.iter().for_each(|cell| *counts.entry(&cell.stage).or_default() += 1);
    counts.iter().map(|(stage, count)| format!("{count} {stage}")).collect::<Vec<_>>().join(", ")
}

fn resources(cells: &[StageEvidence]) -> String {
    let sum = |count: fn(&StageEvidence) -> u64| group_digits(cells.iter().map(count).sum());
    // Sorted, since sums of floats depend on their order.
    let mut seconds: Vec<f64> = cells.iter().map(|cell| cell.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    format!(
        "{} seconds, {} tokens, {} scorings",
        group_digits(seconds.iter().sum::<f64>().round() as u64),
        sum(|cell| cell.tokens),
        sum(|cell| cell.evaluations)
    )
}

fn distinct(cells: &[StageEvidence], of: fn(&StageEvidence) -> &str) -> String {
    cells.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}

/// Returns the days (UTC) on which the first and the last cell finished.
fn days(cells: &[StageEvidence]) -> String {
    let day = |cell: &StageEvidence| cell.finished.chars().take("YYYY-MM-DD".len()).collect::<String>();
    let days: BTreeSet<String> = cells.iter().map(day).collect();
    match (days.first(), days.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.clone(),
        _ => String::new(),
    }
}
