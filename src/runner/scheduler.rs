//! Takes a plan's cells in order and sees that each that is not done gets done.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use burn::tensor::Device;

use super::bases::Bases;
use super::claims::{conclude_failed, conclude_stopped};
use super::crashes::file_deaths;
use super::distil_run::{Learning, distil};
use super::jobs;
use super::panics::caught;
use super::progress::Progress;
use super::timing;
use super::watch::{Ending, Worker};
use crate::device::{ResourceUsage, UsageMeter};
use crate::plan::{Cell, CellState, Check, Plan, Work, cell_state, ensure_room};
use crate::store::{Key, Provenance, Stage, Store};
use dtr_core::error::{Error, ErrorKind, Result};

/// What all cells of a run share.
pub struct Context<'a> {
    /// The memory.
    pub store: &'a Store,
    /// The display.
    pub progress: &'a Progress,
    /// The devices that compute: the first alone what cannot be shared out.
    pub devices: Vec<Device>,
    /// What tells how much energy the device takes.
    pub meter: &'a UsageMeter,
    /// Where results come from, for records.
    pub provenance: Provenance,
    /// What is done about failed cells.
    pub failures: Failures,
    /// Bytes of memory that each device has at most, where that is known.
    pub room: Option<u64>,
    /// This process as the one that watches it knows it.
    pub worker: &'a Worker,
}

/// What a run does about cells that fail or failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Whether the first failure ends the run.
    pub end_the_run: bool,
    /// Whether cells that failed before are done again.
    pub are_retried: bool,
}

impl Context<'_> {
    /// The device of what cannot be shared out.
    pub fn device(&self) -> &Device {
        &self.devices[0]
    }

    /// An error if the user asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.progress.stopped() {
            true => Err(Error::interrupted()),
            false => Ok(()),
        }
    }
}

/// How a cell came to have a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// This process did it.
    Now,
    /// Another process did it meanwhile.
    Elsewhere,
}

/// A cell that has no result, with its line, its key, and why.
pub type Without = (String, Key, String);

/// What a run came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Cells that were done before, or by another process meanwhile.
    pub remembered: usize,
    /// Cells done now.
    pub done: usize,
    /// Cells that failed, now or before.
    pub failed: Vec<Without>,
    /// Cells that wait for one that failed.
    pub waiting: Vec<Without>,
    /// Cells that were not looked at, since the first failure was to end the run.
    pub left: usize,
}

/// Does every cell of `plan` that is not done.
///
/// # Errors
/// Interruption, and what makes going on pointless (the store cannot be read or written). A failed
/// cell is no error: it is in the summary and in its record.
pub fn run(plan: &Plan, context: &Context<'_>) -> Result<Summary> {
    context.worker.planned(plan)?;
    file_deaths(plan, context)?;
    let wanted = wanted(plan, context.store)?;
    let mut conductor =
        Conductor { plan, context, wanted, done: BTreeSet::new(), summary: Summary::default() };
    let mut bases = Bases::new(context.store, plan, &context.devices);
    conductor.each(plan.of(Stage::Pretrain).chain(plan.of(Stage::Score)).collect(), &mut bases)?;
    for group in distil_groups(plan) {
        for part in parted(group, |cell| context.worker.past().is_alone(&cell.key)) {
            conductor.conduct(&part, &mut |cells| distil(context, &mut bases, &learning(cells)))?;
        }
    }
    conductor.each(plan.of(Stage::Search).collect(), &mut bases)?;
    // Last and one by one, so that nothing of this run disturbs what is timed, and no base has to have room beside it.
    drop(bases);
    let mut models = timing::Models::default();
    for cell in plan.of(Stage::Throughput) {
        let Work::Throughput(work) = &cell.work else { continue };
        conductor
            .conduct(&[cell], &mut |cells| vec![timing::throughput(context, &mut models, cells[0], work)])?;
    }
    context.progress.finish();
    Ok(conductor.summary)
}

/// The cells whose results are taken by cells that are not done: what runs reads their files through.
fn wanted(plan: &Plan, store: &Store) -> Result<BTreeSet<Key>> {
    let mut wanted = BTreeSet::new();
    for cell in &plan.cells {
        if cell_state(store, cell, Check::Quick)? != CellState::Done {
            wanted.extend(cell.inputs.values());
        }
    }
    Ok(wanted)
}

fn perform_one(context: &Context<'_>, bases: &mut Bases<'_>, cell: &Cell) -> Result<Ended> {
    match &cell.work {
        Work::Pretrain(work) => jobs::pretrain(context, cell, work),
        Work::Score(work) => jobs::score_base(context, bases, cell, work),
        Work::Search(work) => jobs::search(context, bases, cell, work),
        Work::Distil(work) => distil(context, bases, &[(cell, work)]).remove(0),
        Work::Throughput(_) => unreachable!("what is timed has models of its own"),
    }
}

fn learning<'a>(cells: &[&'a Cell]) -> Vec<Learning<'a>> {
    let work = cells.iter().map(|cell| (*cell, &cell.work));
    work.filter_map(|(cell, work)| if let Work::Distil(work) = work { Some((cell, work)) } else { None })
        .collect()
}

/// The distil cells, those that share base, recipe and corpus together.
fn distil_groups(plan: &Plan) -> Vec<Vec<&Cell>> {
    let mut groups: Vec<Vec<Learning<'_>>> = Vec::new();
    for one in learning(&plan.of(Stage::Distil).collect::<Vec<_>>()) {
        match groups.iter_mut().find(|group| group[0].1.learns_with(one.1)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.into_iter().map(|group| group.into_iter().map(|(cell, _)| cell).collect()).collect()
}

/// `group` without those that are done alone, and then each of these.
fn parted(group: Vec<&Cell>, is_alone: impl Fn(&Cell) -> bool) -> Vec<Vec<&Cell>> {
    let (alone, together): (Vec<_>, Vec<_>) = group.into_iter().partition(|cell| is_alone(cell));
    let parts = [together].into_iter().chain(alone.into_iter().map(|cell| vec![cell]));
    parts.filter(|part| !part.is_empty()).collect()
}

/// A run on its way.
struct Conductor<'a> {
    plan: &'a Plan,
    context: &'a Context<'a>,
    wanted: BTreeSet<Key>,
    done: BTreeSet<Key>,
    summary: Summary,
}

impl<'a> Conductor<'a> {
    /// Has each of `cells` done that is to be done; what another process is at comes after what nobody is at.
    fn each(&mut self, mut cells: VecDeque<&'a Cell>, bases: &mut Bases<'_>) -> Result<()> {
        let context = self.context;
        let mut num_put_off = 0;
        while let Some(cell) = cells.pop_front() {
            if num_put_off < cells.len() && context.store.is_running(cell.stage, &cell.key)? {
                cells.push_back(cell);
                num_put_off += 1;
                continue;
            }
            num_put_off = 0;
            self.conduct(&[cell], &mut |cells| vec![perform_one(context, bases, cells[0])])?;
        }
        Ok(())
    }

    /// Has those of `cells` done that are to be done, and files what became of each.
    fn conduct(
        &mut self,
        cells: &[&'a Cell],
        work: &mut dyn FnMut(&[&'a Cell]) -> Vec<Result<Ended>>,
    ) -> Result<()> {
        if self.context.failures.end_the_run && !self.summary.failed.is_empty() {
            self.summary.left += cells.len();
            return Ok(());
        }
        self.context.check()?;
        let (mut to_do, mut have_room) = (Vec::new(), true);
        for cell in cells {
            if self.is_to_do(cell)? {
                match self.context.room.map_or(Ok(()), |room| ensure_room(self.plan, cell, room)) {
                    Ok(()) => to_do.push(*cell),
                    Err(error) => {
                        have_room = false;
                        self.file(cell, Err(error), 0.0)?;
                    }
                }
            }
        }
        if !have_room && self.context.failures.end_the_run {
            self.summary.left += std::mem::take(&mut to_do).len();
        }
        self.context.progress.cell_done(cells.len() - to_do.len());
        if to_do.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let outcomes = attempt(&to_do, work);
        let seconds = start.elapsed().as_secs_f64() / to_do.len() as f64;
        let mut end = Ok(());
        for (cell, outcome) in to_do.into_iter().zip(outcomes) {
            self.context.progress.cell_done(1);
            // What ends the run does not keep the others of a group from being filed.
            end = end.and(self.file(cell, outcome, seconds));
        }
        end
    }

    /// Whether a cell is to be done now; what is not is counted.
    fn is_to_do(&mut self, cell: &Cell) -> Result<bool> {
        let past = self.context.worker.past();
        let look = if self.wanted.contains(&cell.key) { Check::Full } else { Check::Quick };
        match cell_state(self.context.store, cell, look)? {
            CellState::Done => {
                self.done.insert(cell.key);
                // What a worker before this one did is this sweep's.
                match past.done.contains(&cell.key) {
                    true => self.summary.done += 1,
                    false => self.summary.remembered += 1,
                }
                return Ok(false);
            }
            CellState::Failed(error) if !self.context.failures.are_retried || past.has_failed(&cell.key) => {
                self.summary.failed.push((cell.line(), cell.key, error));
                return Ok(false);
            }
            CellState::Damaged(why) => {
                self.context.progress.say(&format!("{}: {why}; it is done again", cell.line()))
            }
            CellState::Failed(_) | CellState::Missing => {}
        }
        let lacks = |key: &Key| self.plan.cell(key).is_some() && !self.done.contains(key);
        match cell.inputs.iter().find(|(_, key)| lacks(key)) {
            Some((role, key)) => {
                let why = format!("waits for its {role}, cell {}", key.short());
                self.summary.waiting.push((cell.line(), cell.key, why));
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Files what became of a cell.
    fn file(&mut self, cell: &Cell, outcome: Result<Ended>, seconds: f64) -> Result<()> {
        let worker = self.context.worker;
        match outcome {
            Ok(ended) => {
                self.done.insert(cell.key);
                match ended {
                    Ended::Now => self.summary.done += 1,
                    Ended::Elsewhere => self.summary.remembered += 1,
                }
                worker.ended(&cell.key, if ended == Ended::Now { Ending::Done } else { Ending::Left });
                self.context.progress.say(&format!("done  {}", cell.line()));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                conclude_stopped(self.context, cell)?;
                worker.ended(&cell.key, Ending::Left);
                Err(error)
            }
            // Not the cell's failure. Where there is no room, nothing that follows could be kept; perhaps not even this note.
            Err(error) if error.is_storage_failure() || error.is_bad_input() => {
                let _ = conclude_stopped(self.context, cell);
                worker.ended(&cell.key, Ending::Left);
                Err(error)
            }
            Err(error) => {
                self.context.progress.say(&format!("failed  {}: {}", cell.line(), error.to_line()));
                conclude_failed(self.context, cell, ResourceUsage { seconds, joules: None }, &error)?;
                self.summary.failed.push((cell.line(), cell.key, error.to_line()));
                worker.ended(&cell.key, Ending::Failed);
                Ok(())
            }
        }
    }
}

/// Does `work` on `cells`; if it panics, on each by itself, since one of them is at fault.
fn attempt<'a>(
    cells: &[&'a Cell],
    work: &mut dyn FnMut(&[&'a Cell]) -> Vec<Result<Ended>>,
) -> Vec<Result<Ended>> {
    match (cells, caught(|| work(cells))) {
        (_, Ok(outcomes)) => outcomes,
        ([_], Err(error)) => vec![Err(error)],
        (_, Err(_)) => cells.iter().flat_map(|cell| attempt(&[*cell], work)).collect(),
    }
}

#[cfg(test)]
mod tests;
