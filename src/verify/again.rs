//! Doing cells again in a results folder of their own, from the same inputs, and comparing what they come to.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::temporary;
use crate::plan::{Cell, CellState, Check, Plan, cell_state};
use crate::runner::{Context, run};
use crate::store::{Fault, Key, Lookup, Record, Stage, Store};
use dtr_core::error::{Error, Result};
use dtr_core::files::create_folder;
use dtr_core::seed::Seed;

/// Which cells are done again.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// How many.
    pub size: usize,
    /// What chooses them.
    pub seed: Seed,
}

/// What doing cells again came to.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// The cells that were done again.
    pub lines: Vec<String>,
    /// Cells that are done and cannot be compared: another device made them, or one that promises no bits, or they time.
    pub num_incomparable: usize,
    /// Records that came out otherwise.
    pub faults: Vec<Fault>,
}

/// Does a `sample` of the plan's cells again as `context` says, in place of its store in a temporary one.
pub fn do_again(plan: &Plan, context: &Context<'_>, sample: Sample) -> Result<Again> {
    let mut again = Again::default();
    let mut chosen = Vec::new();
    for cell in &plan.cells {
        match done(context.store, cell)? {
            Some(record) if is_comparable(cell, &record, context) => chosen.push((cell, record)),
            Some(_) => again.num_incomparable += 1,
            None => {}
        }
    }
    chosen.sort_by_key(|(cell, _)| (sample.seed.child(&cell.key.to_string()).0, cell.key));
    for (cell, record) in chosen.into_iter().take(sample.size) {
        context.check()?;
        again.lines.push(cell.line());
        if let Some(why) = difference(plan, context, cell, &record)? {
            let path = context.store.layout().cell(cell.stage, &cell.key).record();
            again.faults.push(Fault { path, why });
        }
    }
    Ok(again)
}

fn done(store: &Store, cell: &Cell) -> Result<Option<Record<Value>>> {
    Ok(match store.find(cell.stage, &cell.key)? {
        Lookup::Done(record) => Some(record),
        _ => None,
    })
}

/// Whether this process's device promises what the record's gave; no device promises times.
fn is_comparable(cell: &Cell, record: &Record<Value>, context: &Context<'_>) -> bool {
    let (there, here) = (&record.provenance, &context.provenance);
    cell.stage != Stage::Throughput
        && here.repeatable == Some(true)
        && there.device == here.device
        && there.host_arch == here.host_arch
}

/// How a cell that is done again differs from its record; none when it does not.
fn difference(
    plan: &Plan,
    context: &Context<'_>,
    cell: &Cell,
    record: &Record<Value>,
) -> Result<Option<String>> {
    let folder = temporary()?;
    let store = Store::open(folder.path())?;
    let mut needed = BTreeSet::new();
    collect_inputs(plan, cell, &mut needed);
    for input in plan.cells.iter().filter(|cell| needed.contains(&cell.key)) {
        if cell_state(context.store, input, Check::Full)? != CellState::Done {
            return Ok(Some(format!("it cannot be done again: `{}` is not sound", input.line())));
        }
        lend(context.store, &store, input)?;
    }
    needed.insert(cell.key);
    let cells = plan.cells.iter().filter(|cell| needed.contains(&cell.key)).cloned().collect();
    let (provenance, devices) = (context.provenance.clone(), context.devices.clone());
    let here = Context { store: &store, provenance, devices, ..*context };
    let summary = run(&Plan { cells, ..plan.clone() }, &here)?;
    if let Some((_, _, error)) = summary.failed.first() {
        return Ok(Some(format!("done again, it fails: {error}")));
    }
    let new = done(&store, cell)?
        .ok_or_else(|| Error::failed(format!("`{}` was done again and has no record", cell.line())))?;
    Ok(compare(record, &new))
}

fn collect_inputs(plan: &Plan, cell: &Cell, needed: &mut BTreeSet<Key>) {
    for input in cell.inputs.values().filter_map(|key| plan.cell(key)) {
        needed.insert(input.key);
        collect_inputs(plan, input, needed);
    }
}

/// Puts a cell's record and files into another store; linked where both are on one file system, for no one
/// writes into files of a store.
fn lend(from: &Store, to: &Store, cell: &Cell) -> Result<()> {
    let [source, target] = [from, to].map(|store| store.layout().cell(cell.stage, &cell.key));
    create_folder(target.path())?;
    let Some(record) = done(from, cell)? else { return Ok(()) };
    let artifacts = record.artifacts.keys().map(|name| Ok((source.artifact(name)?, target.artifact(name)?)));
    for pair in artifacts.chain([Ok((source.record(), target.record()))]) {
        let (source, target) = pair?;
        if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target).map_err(|cause| Error::io("copy", &source, cause))?;
        }
    }
    Ok(())
}

fn compare(stored: &Record<Value>, new: &Record<Value>) -> Option<String> {
    let files = stored.artifacts.iter().filter(|(name, artifact)| new.artifacts.get(*name) != Some(artifact));
    let files: Vec<&str> = files.map(|(name, _)| name.as_str()).collect();
    match (files.as_slice(), stored.outcome == new.outcome) {
        ([], true) => None,
        ([], false) => Some("done again, it has another result".to_owned()),
        (files, _) => Some(format!("done again, it has another {}", files.join(", "))),
    }
}
