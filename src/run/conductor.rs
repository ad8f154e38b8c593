//! Takes a plan's cells in order and sees that each that is not done gets done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;

use super::bases::Bases;
use super::fetch::Digests;
use super::perform;
use super::progress::Progress;
use super::timing;
use crate::device::{Machine, Meter};
use crate::error::{Error, Kind, Result};
use crate::plan::{Cell, Distillation, Plan, Work};
use crate::store::{Found, Key, Stage, Store};

/// What all cells of a run share.
pub struct Context<'a> {
    /// The memory.
    pub store: &'a Store,
    /// The display.
    pub progress: &'a Progress,
    /// The device that computes.
    pub device: Device,
    /// The device in words and the threads beside it, for records.
    pub machine: Machine,
    /// What tells how much energy the device takes.
    pub meter: Meter,
    /// What was fetched from the hub for this run, for records.
    pub hub_files: Digests,
}

impl Context<'_> {
    /// An error if the user asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.progress.stopped() {
            true => Err(Error::new(Kind::Interrupted, "interrupted")),
            false => Ok(()),
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Cells that were done before.
    pub remembered: usize,
    /// Cells done now.
    pub done: usize,
    /// Cells that failed, each with its line, key and error.
    pub failed: Vec<(String, Key, String)>,
}

/// Does every cell of `plan` that is not done.
///
/// # Errors
/// Interruption, and what makes going on pointless (the store cannot be read or written). A failed
/// cell is no error: it is in the summary and in its record.
pub fn run(plan: &Plan, context: &Context<'_>) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut bases = Bases::new(context.store, plan, &context.device);
    for cell in plan.of(Stage::Pretrain).chain(plan.of(Stage::Score)) {
        conduct(context, &mut summary, &[cell], |context| vec![perform_one(context, &mut bases, cell)])?;
    }
    for group in distil_groups(plan, context.store)? {
        let cells: Vec<&Cell> = group.iter().map(|(cell, _)| *cell).collect();
        conduct(context, &mut summary, &cells, |context| perform::distil(context, &mut bases, &group))?;
    }
    for cell in plan.of(Stage::Search) {
        conduct(context, &mut summary, &[cell], |context| vec![perform_one(context, &mut bases, cell)])?;
    }
    // Last and one by one, so that nothing of this run disturbs what is timed, and no base has to have room beside it.
    drop(bases);
    let mut models = timing::Models::default();
    for cell in plan.of(Stage::Throughput) {
        let Work::Throughput(work) = &cell.work else { continue };
        conduct(context, &mut summary, &[cell], |context| {
            vec![timing::throughput(context, &mut models, cell, work)]
        })?;
    }
    context.progress.finish();
    let counted = summary.done + summary.failed.len();
    summary.remembered = plan.cells.len() - counted;
    Ok(summary)
}

fn perform_one(context: &Context<'_>, bases: &mut Bases<'_>, cell: &Cell) -> Result<()> {
    match &cell.work {
        Work::Pretrain(work) => perform::pretrain(context, cell, work),
        Work::Score(work) => perform::score_base(context, bases, cell, work).map(drop),
        Work::Search(work) => perform::search(context, bases, cell, work),
        Work::Distil(work) => perform::distil(context, bases, &[(cell, work)]).remove(0),
        Work::Throughput(_) => unreachable!("what is timed has models of its own"),
    }
}

/// Has the cells that are not done done, and files what became of each.
fn conduct(
    context: &Context<'_>,
    summary: &mut Summary,
    cells: &[&Cell],
    work: impl FnOnce(&Context<'_>) -> Vec<Result<()>>,
) -> Result<()> {
    context.check()?;
    if cells.iter().all(|cell| is_done(context.store, cell).unwrap_or(false)) {
        context.progress.cell_done(cells.len());
        return Ok(());
    }
    let outcomes = catch_unwind(AssertUnwindSafe(|| work(context))).unwrap_or_else(|panic| {
        cells.iter().map(|_| Err(Error::failed(format!("panicked: {}", panic_message(&panic))))).collect()
    });
    for (cell, outcome) in cells.iter().zip(outcomes) {
        context.progress.cell_done(1);
        match outcome {
            Ok(()) => {
                summary.done += 1;
                context.progress.say(&format!("done  {}", cell.line()));
            }
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                context.progress.say(&format!("failed  {}: {}", cell.line(), error.one_line()));
                summary.failed.push((cell.line(), cell.key, error.one_line()));
            }
        }
    }
    Ok(())
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Whether the store has a cell's result.
pub fn is_done(store: &Store, cell: &Cell) -> Result<bool> {
    Ok(matches!(store.find::<serde_json::Value>(cell.stage, &cell.key)?, Found::Done(_)))
}

/// The distil cells that are not done, those that share base, recipe and corpus together.
fn distil_groups<'a>(plan: &'a Plan, store: &Store) -> Result<Vec<Vec<(&'a Cell, &'a Distillation)>>> {
    let mut groups: Vec<Vec<(&Cell, &Distillation)>> = Vec::new();
    for cell in plan.of(Stage::Distil) {
        let Work::Distil(work) = &cell.work else { continue };
        if is_done(store, cell)? {
            continue;
        }
        let shares = |group: &&mut Vec<(&Cell, &Distillation)>| group[0].1.learns_with(work);
        match groups.iter_mut().find(shares) {
            Some(group) => group.push((cell, work)),
            None => groups.push(vec![(cell, work)]),
        }
    }
    Ok(groups)
}
