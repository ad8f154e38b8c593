//! Taking a cell up and writing down how it ended.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::scheduler::Context;
use crate::device::ResourceUsage;
use crate::plan::{Cell, CellState, Check, cell_state};
use crate::store::{Claim, Draft, EventKind, Lookup, Outcome, Provenance, Stage, read_events};
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

/// What is left to do of a cell: nothing, or the work under this claim.
pub enum Claimed<T> {
    /// Another process finished it meanwhile.
    Done(T),
    /// It is ours.
    Ours(Claim),
}

/// Claims `cell`, waiting while another process is at it; its result if that one finished it.
pub fn claim<T: DeserializeOwned>(context: &Context<'_>, cell: &Cell) -> Result<Claimed<T>> {
    let mut said = false;
    let claim = context.store.claim_wait(cell.stage, &cell.key, |waited| {
        if !said && waited.as_secs() >= 1 {
            context.progress.say(&format!("{}: another process is at it; waiting", cell.line()));
            said = true;
        }
        context.check()
    })?;
    match (cell_state(context.store, cell, Check::Full)?, context.store.find::<T>(cell.stage, &cell.key)?) {
        (CellState::Done, Lookup::Done(record)) => match record.outcome {
            Outcome::Done(result) => Ok(Claimed::Done(result)),
            Outcome::Failed { .. } => unreachable!("a record found done has a result"),
        },
        _ => Ok(Claimed::Ours(claim)),
    }
}

/// Notes in the cell's log that this process is at it, and says if the one before ended without a word.
pub fn begin(context: &Context<'_>, cell: &Cell, claim: &Claim) -> Result<()> {
    context.worker.begun(&cell.key);
    let mut log = claim.events()?;
    // A log that cannot be read is no reason to leave the work undone.
    let before =
        read_events(&context.store.layout().cell(cell.stage, &cell.key).events()).unwrap_or_default();
    if before.last().is_some_and(|event| !event.what.is_end()) {
        let said = "the process before this one ended without a word: killed, or out of memory";
        context.progress.say(&format!("{}: {said}", cell.line()));
        log.append(EventKind::Message(said.to_owned()))?;
    }
    log.append(EventKind::Started)
}

/// A checkpoint of a cell, to go on from where it is whole.
pub fn checkpoint(context: &Context<'_>, cell: &Cell, claim: &Claim, name: &str) -> Result<CheckpointFile> {
    let checkpoint = claim.checkpoint(name)?;
    if checkpoint.remove_if_damaged()? {
        let said =
            format!("`{}` was damaged and is gone; what it held is done anew", checkpoint.path().display());
        context.progress.say(&format!("{}: {said}", cell.line()));
        claim.events()?.append(EventKind::Message(said))?;
    }
    Ok(checkpoint)
}

/// Writes the record of a cell that ended well, and gives the result back as it will be read.
///
/// The log says so where it said that the cell was begun; scores within a search are in the search's log.
pub fn conclude<T: Serialize + DeserializeOwned>(
    context: &Context<'_>,
    cell: &Cell,
    claim: &Claim,
    spent: ResourceUsage,
    artifacts: &[&str],
    result: T,
) -> Result<T> {
    let draft = Draft {
        artifacts: artifacts.iter().map(|&name| name.to_owned()).collect(),
        ..draft(context, cell, spent, Outcome::Done(result))?
    };
    let record = claim.finish(draft)?;
    if claim.has_events() {
        claim.events()?.append(EventKind::Done)?;
    }
    match record.outcome {
        Outcome::Done(result) => Ok(result),
        Outcome::Failed { .. } => unreachable!("what was finished done reads back as done"),
    }
}

/// Writes the record of a cell that failed, unless another process has it or has done it by now.
pub fn conclude_failed(
    context: &Context<'_>,
    cell: &Cell,
    spent: ResourceUsage,
    error: &Error,
) -> Result<()> {
    let Some(claim) = context.store.claim(cell.stage, &cell.key)? else { return Ok(()) };
    if cell_state(context.store, cell, Check::Full)? == CellState::Done {
        return Ok(());
    }
    claim.events()?.append(EventKind::Failed(error.to_line()))?;
    let outcome = Outcome::<Value>::Failed { error: error.to_line() };
    claim.finish(draft(context, cell, spent, outcome)?).map(drop)
}

/// Notes in the cell's log what became of the process that was at it, unless another one has it by now.
pub fn conclude_died(context: &Context<'_>, cell: &Cell, said: String) -> Result<()> {
    let Some(claim) = context.store.claim(cell.stage, &cell.key)? else { return Ok(()) };
    let mut log = claim.events()?;
    log.append(EventKind::Message(said))?;
    log.append(EventKind::Stopped)
}

/// Notes in the cell's log that it was left for another time, unless another process has it by now.
pub fn conclude_stopped(context: &Context<'_>, cell: &Cell) -> Result<()> {
    match context.store.claim(cell.stage, &cell.key)? {
        Some(claim) => claim.events()?.append(EventKind::Stopped),
        None => Ok(()),
    }
}

fn draft<T>(
    context: &Context<'_>,
    cell: &Cell,
    spent: ResourceUsage,
    outcome: Outcome<T>,
) -> Result<Draft<T>> {
    let provenance =
        Provenance { input_files: input_files(context, cell)?, ..context.provenance.clone().at_the_end() };
    let (spec, inputs) = (cell.spec.clone(), cell.inputs.clone());
    let ResourceUsage { seconds, joules } = spent;
    Ok(Draft { spec, inputs, artifacts: Vec::new(), seconds, joules, provenance, outcome })
}

/// The files of the cells that `cell` took, by role and name, with the digests that they were recorded with.
fn input_files(context: &Context<'_>, cell: &Cell) -> Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    for (role, key) in &cell.inputs {
        let stage = if role == "base" { Stage::Pretrain } else { Stage::Distil };
        if let Lookup::Done(record) = context.store.find::<Value>(stage, key)? {
            let named = record.artifacts.iter();
            files.extend(named.map(|(name, artifact)| (format!("{role}/{name}"), artifact.digest)));
        }
    }
    Ok(files)
}
