//! The provenance of the results: the cells, resources, devices, machines and program versions in the
//! records.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::values::group_digits;
use crate::report::experiment_records::{CellWorkCounts, ExperimentRecords};
use crate::store::{Provenance, StageName};

/// A line of the page's section on provenance: a name and its value.
#[derive(Serialize)]
pub(super) struct ProvenanceEntry {
    name: &'static str,
    value: String,
}

/// Returns the provenance of the finished cells. Returns no entries if no cell is finished.
pub(super) fn provenance_entries(records: &ExperimentRecords) -> Vec<ProvenanceEntry> {
    let cells = &records.work_counts;
    if cells.is_empty() {
        return Vec::new();
    }
    let entry = |name, value| ProvenanceEntry { name, value };
    vec![
        entry("Cells", stage_counts(cells)),
        entry("Resources", resources(cells)),
        entry("Device", join_distinct(cells, |cell| cell.record.provenance.device.clone())),
        entry("Machine", join_distinct(cells, |cell| machine(&cell.record.provenance))),
        entry("Program", join_distinct(cells, |cell| program(&cell.record.provenance))),
        entry("Finished", finish_dates(cells)),
        entry("Confidence intervals", confidence_intervals(records.confidence)),
    ]
}

fn confidence_intervals(confidence: f64) -> String {
    format!("{} %: Wilson's, or bootstrap if some answers are neither right nor wrong", 100.0 * confidence)
}

fn stage_counts(cells: &[CellWorkCounts]) -> String {
    let mut counts: BTreeMap<&StageName, u64> = BTreeMap::new();
    cells.iter().for_each(|cell| *counts.entry(&cell.record.spec.id.stage).or_default() += 1);
    counts.iter().map(|(stage, count)| format!("{count} {stage}")).collect::<Vec<_>>().join(", ")
}

fn resources(cells: &[CellWorkCounts]) -> String {
    let sum = |count: fn(&CellWorkCounts) -> u64| group_digits(cells.iter().map(count).sum());
    // Sort the times, because a sum of floats depends on the order of the summands.
    let mut seconds: Vec<f64> = cells.iter().map(|cell| cell.record.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    format!(
        "{} seconds, {} tokens, {} scorings",
        group_digits(seconds.iter().sum::<f64>().round() as u64),
        sum(|cell| cell.tokens),
        sum(|cell| cell.evaluations)
    )
}

/// Returns the distinct values of the cells in alphabetical order, joined by semicolons.
fn join_distinct(cells: &[CellWorkCounts], value: fn(&CellWorkCounts) -> String) -> String {
    cells.iter().map(value).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}

/// Returns the dates (UTC) on which the first and the last cell finished.
fn finish_dates(cells: &[CellWorkCounts]) -> String {
    let date =
        |cell: &CellWorkCounts| cell.record.finished.chars().take("YYYY-MM-DD".len()).collect::<String>();
    let dates: BTreeSet<String> = cells.iter().map(date).collect();
    match (dates.first(), dates.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.clone(),
        _ => String::new(),
    }
}

/// Returns the program's version and build, for example `dtr 0.1.0 (revision 1a2b3c4, cuda)`.
fn program(provenance: &Provenance) -> String {
    let modified = if provenance.modified == Some(true) { ", modified" } else { "" };
    let revision = provenance.revision.iter().map(|revision| format!("revision {revision}{modified}"));
    let build: Vec<String> = revision.chain(provenance.features.iter().cloned()).collect();
    match build.as_slice() {
        [] => format!("dtr {}", provenance.version),
        build => format!("dtr {} ({})", provenance.version, build.join(", ")),
    }
}

/// Returns the operating system, architecture and number of threads, for example `linux x86_64, 2 threads`.
fn machine(provenance: &Provenance) -> String {
    let threads = match provenance.threads {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    };
    format!("{} {}, {threads}", provenance.host_os, provenance.host_arch)
}
