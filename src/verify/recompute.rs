//! Recomputes a sample of finished cells in a temporary results folder. Compares the new records with the
//! stored records.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::temporary_folder;
use crate::plan::Plan;
use crate::runner::RunContext;
use crate::scheduler::{FailurePolicy, run_plan};
use crate::stages::Cell;
use crate::store::{CellKey, CellState, CheckDepth, DamagedFile, Record, Store};
use dtr_core::error::{Error, Result};
use dtr_core::files::create_folder;
use dtr_core::seed::Seed;

/// The size and the seed of the random sample of cells that are recomputed.
#[derive(Clone, Copy, Debug)]
pub struct RecomputeSample {
    /// Maximum number of cells.
    pub size: usize,
    /// Seed of the random selection.
    pub seed: Seed,
}

/// The result of recomputing cells.
#[derive(Clone, Debug, Default)]
pub struct RecomputedCells {
    /// Descriptions of the recomputed cells.
    pub descriptions: Vec<String>,
    /// Number of finished cells whose results cannot be compared: timings, and cells that another kind of
    /// device computed. If this device is not deterministic, no cell can be compared.
    pub num_incomparable: usize,
    /// Records of cells whose recomputed result differs, or that could not be recomputed.
    pub faults: Vec<DamagedFile>,
}

/// Recomputes a sample of the finished cells of a plan in a temporary store.
///
/// # Errors
/// Fails if a file cannot be read or written, or if the user interrupts.
pub fn recompute_cells(
    plan: &Plan,
    context: &RunContext<'_>,
    sample: RecomputeSample,
) -> Result<RecomputedCells> {
    let mut recomputed = RecomputedCells::default();
    let mut chosen = Vec::new();
    for cell in &plan.cells {
        match find_result(context.store, cell)? {
            Some(record) if is_comparable(cell, &record, context) => chosen.push((cell, record)),
            Some(_) => recomputed.num_incomparable += 1,
            None => {}
        }
    }
    chosen.sort_by_key(|(cell, _)| (sample.seed.child(&cell.key().to_string()).0, cell.key()));
    for (cell, record) in chosen.into_iter().take(sample.size) {
        context.check_interrupted()?;
        recomputed.descriptions.push(cell.to_line());
        if let Some(reason) = find_difference(plan, context, cell, &record)? {
            let path = context.store.record_path(cell.id());
            recomputed.faults.push(DamagedFile { path, reason });
        }
    }
    Ok(recomputed)
}

/// Returns the record of a finished cell. Returns `None` if the cell failed, or if a file of the cell is
/// missing or damaged.
fn find_result(store: &Store, cell: &Cell) -> Result<Option<Record<Value>>> {
    Ok(store.find(cell.id())?.done())
}

/// Returns whether a recomputation of a cell must give the same result. This is true if the cell is not a
/// timing, this device is deterministic, and the record comes from the same kind of device.
fn is_comparable(cell: &Cell, record: &Record<Value>, context: &RunContext<'_>) -> bool {
    let (stored, here) = (&record.provenance, &context.provenance);
    !cell.job.measures_time()
        && here.repeatable == Some(true)
        && stored.device == here.device
        && stored.host_arch == here.host_arch
}

/// Recomputes a cell. Describes how the new result differs from the record, or returns `None` if the new
/// result equals the record.
fn find_difference(
    plan: &Plan,
    context: &RunContext<'_>,
    cell: &Cell,
    record: &Record<Value>,
) -> Result<Option<String>> {
    let folder = temporary_folder()?;
    let store = Store::open(folder.path())?;
    let mut needed = BTreeSet::new();
    collect_inputs(plan, cell, &mut needed);
    for input in plan.cells.iter().filter(|cell| needed.contains(&cell.key())) {
        if context.store.cell_state(input.id(), CheckDepth::Full)? != CellState::Done {
            return Ok(Some(format!(
                "cannot recompute: the input `{}` is missing or damaged",
                input.to_line()
            )));
        }
        copy_cell(context.store, &store, input)?;
    }
    needed.insert(cell.key());
    let cells = plan.cells.iter().filter(|cell| needed.contains(&cell.key())).cloned().collect();
    let (provenance, devices) = (context.provenance.clone(), context.devices.clone());
    let temporary_context = RunContext { store: &store, provenance, devices, ..*context };
    let summary = run_plan(&Plan { cells, ..plan.clone() }, &temporary_context, FailurePolicy::default())?;
    if let Some(failed) = summary.failed.first() {
        return Ok(Some(format!("recomputing fails: {}", failed.reason)));
    }
    let new = find_result(&store, cell)?
        .ok_or_else(|| Error::failed(format!("`{}` has no record after recomputing", cell.to_line())))?;
    Ok(compare(record, &new))
}

/// Adds the keys of all direct and indirect inputs of a cell to `needed`.
fn collect_inputs(plan: &Plan, cell: &Cell, needed: &mut BTreeSet<CellKey>) {
    for input in cell.inputs().values().filter_map(|input| plan.cell(&input.key)) {
        needed.insert(input.key());
        collect_inputs(plan, input, needed);
    }
}

/// Copies the record and the artifacts of a cell to another store.
///
/// Files are hard-linked if possible. This is safe, because a store never modifies a record or an artifact in
/// place.
fn copy_cell(from: &Store, to: &Store, cell: &Cell) -> Result<()> {
    let [source, target] = [from, to].map(|store| store.cell_folder(cell.id()));
    let Some(record) = find_result(from, cell)? else { return Ok(()) };
    let attempt = record.attempt.as_ref();
    create_folder(&target.attempt_folder(attempt))?;
    let artifacts = record
        .artifacts
        .keys()
        .map(|name| Ok((source.artifact_path(attempt, name)?, target.artifact_path(attempt, name)?)));
    for pair in artifacts.chain([Ok((from.record_path(cell.id()), target.record_path()))]) {
        let (source, target) = pair?;
        if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target).map_err(|cause| Error::io("copy", &source, cause))?;
        }
    }
    Ok(())
}

/// Describes how two records of a cell differ. Returns `None` if their artifacts and outcomes are equal.
fn compare(stored: &Record<Value>, new: &Record<Value>) -> Option<String> {
    let files = stored.artifacts.iter().filter(|(name, artifact)| new.artifacts.get(*name) != Some(artifact));
    let files: Vec<&str> = files.map(|(name, _)| name.as_str()).collect();
    match (files.as_slice(), stored.outcome == new.outcome) {
        ([], true) => None,
        ([], false) => Some("the recomputed result differs".to_owned()),
        (files, _) => Some(format!("the recomputed {} differs", files.join(", "))),
    }
}
