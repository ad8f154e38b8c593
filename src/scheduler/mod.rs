//! Runs the cells of a plan in order. After a cell fails, the scheduler records the failure. Unless
//! [`FailurePolicy::fail_fast`] is set, it continues with the cells that do not depend on the failed cell.

mod crashes;
mod fetch;
mod parallel;
mod summary;

use std::collections::{BTreeSet, VecDeque};

use crate::plan::{Plan, ensure_weights_fit};
use crate::runner::{RunContext, WorkEnd, catch_cell_panic, log_stop, record_failure};
use crate::stages::{Cell, CompletedBy, STAGES, StageCache};
use crate::store::{CellId, CellKey, CellState, CheckDepth, StageName, Store};
use dtr_core::error::{Error, ErrorKind, Result};

pub use fetch::{HubDigests, fetch_downloads};
pub use parallel::{run_granted_cells, run_plan_or_divide};
pub use summary::{RunSummary, UnfinishedCell};

/// The settings for cells that fail in a run, and for cells that failed in an earlier run.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailurePolicy {
    /// Whether the first failure ends the run.
    pub fail_fast: bool,
    /// Whether cells that failed in an earlier run are run again.
    pub retry_failed: bool,
}

/// Runs every selected cell of `plan` that is not done.
///
/// # Errors
/// Fails if the user interrupts the run, if the store cannot be read or written, or if input data is invalid.
/// If a cell fails for another reason, this function returns no error: the cell's record and the summary hold
/// the error. The run then continues, or skips the remaining cells if `policy.fail_fast` is set.
pub fn run_plan(plan: &Plan, context: &RunContext<'_>, policy: FailurePolicy) -> Result<RunSummary> {
    let mut scheduler = Scheduler::start(plan, context, policy)?;
    let mut cache = StageCache::default();
    STAGES.iter().try_for_each(|stage| scheduler.run_stage(&stage.name, &mut cache))?;
    context.progress.finish();
    Ok(scheduler.summary)
}

/// Returns the keys of all inputs of the selected cells that are not done. The run must verify the files of
/// these inputs, because the run reads them.
fn inputs_of_pending(plan: &Plan, store: &Store) -> Result<BTreeSet<CellKey>> {
    let mut inputs = BTreeSet::new();
    for cell in plan.selected_cells() {
        if store.cell_state(cell.id(), CheckDepth::Quick)? != CellState::Done {
            inputs.extend(cell.inputs().values().map(|input| input.key));
        }
    }
    Ok(inputs)
}

/// Divides cells into groups. The cells of a group run together. An isolated cell may have crashed a worker,
/// so it forms a group of its own. This group follows the group that the cell would otherwise join.
fn group_cells<'a>(
    cells: impl Iterator<Item = &'a Cell>,
    is_isolated: impl Fn(&Cell) -> bool,
) -> VecDeque<Vec<&'a Cell>> {
    let mut groups: Vec<Vec<&Cell>> = Vec::new();
    for cell in cells {
        match groups.iter_mut().find(|group| group[0].job.is_grouped_with(&*cell.job)) {
            Some(group) => group.push(cell),
            None => groups.push(vec![cell]),
        }
    }
    let split = |group: Vec<&'a Cell>| {
        let (isolated, together): (Vec<_>, Vec<_>) = group.into_iter().partition(|cell| is_isolated(cell));
        [together].into_iter().chain(isolated.into_iter().map(|cell| vec![cell]))
    };
    groups.into_iter().flat_map(split).filter(|group| !group.is_empty()).collect()
}

/// A function that runs the cells of a group. For each cell, the function returns the process that computed
/// the cell, or an error.
type RunGroup<'r, 'a> = &'r mut dyn FnMut(&[&'a Cell]) -> Vec<Result<CompletedBy>>;

/// A run in progress.
struct Scheduler<'a> {
    plan: &'a Plan,
    context: &'a RunContext<'a>,
    policy: FailurePolicy,
    /// Keys of the cells whose files the run must verify, because the run reads these files.
    verified: BTreeSet<CellKey>,
    /// Keys of the cells that are known to be done.
    done: BTreeSet<CellKey>,
    summary: RunSummary,
}

impl<'a> Scheduler<'a> {
    /// Records the crashes of earlier workers, and starts a run.
    fn start(plan: &'a Plan, context: &'a RunContext<'a>, policy: FailurePolicy) -> Result<Self> {
        context.supervisor.report_plan(plan.cells.iter().map(Cell::key))?;
        crashes::record_crashes(plan, context)?;
        let mut scheduler = Self::new(plan, context, policy, inputs_of_pending(plan, context.store)?);
        scheduler.find_done_unselected()?;
        Ok(scheduler)
    }

    fn new(
        plan: &'a Plan,
        context: &'a RunContext<'a>,
        policy: FailurePolicy,
        verified: BTreeSet<CellKey>,
    ) -> Self {
        Self { plan, context, policy, verified, done: BTreeSet::new(), summary: RunSummary::default() }
    }

    /// Adds to `done` the cells that are done and not selected, and whose results this run reads. Verifies
    /// the files of these cells.
    fn find_done_unselected(&mut self) -> Result<()> {
        for cell in self.plan.cells.iter().filter(|cell| !self.plan.is_selected(cell)) {
            let is_read = self.verified.contains(&cell.key());
            if is_read && self.context.store.cell_state(cell.id(), CheckDepth::Full)? == CellState::Done {
                self.done.insert(cell.key());
            }
        }
        Ok(())
    }

    fn run_stage(&mut self, stage: &StageName, cache: &mut StageCache) -> Result<()> {
        let (plan, context) = (self.plan, self.context);
        let sweep = context.supervisor.sweep_state();
        let cells = plan.selected_cells().filter(|cell| cell.stage() == stage);
        let groups = group_cells(cells, |cell| sweep.is_isolated(&cell.key()));
        self.run_groups(groups, &mut |cells| cells[0].job.run(context, cache, cells))
    }

    /// Runs all groups. Postpones a group while other processes run all of its cells.
    fn run_groups(&mut self, mut groups: VecDeque<Vec<&'a Cell>>, run: RunGroup<'_, 'a>) -> Result<()> {
        let mut num_deferred = 0;
        while let Some(group) = groups.pop_front() {
            if num_deferred < groups.len() && self.are_all_running(&group)? {
                groups.push_back(group);
                num_deferred += 1;
                continue;
            }
            num_deferred = 0;
            self.run_group(&group, run)?;
        }
        Ok(())
    }

    fn are_all_running(&self, group: &[&Cell]) -> Result<bool> {
        for cell in group {
            if !self.context.store.is_running(cell.id())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the cells of a group that are not done. Counts each cell of the group in the summary.
    fn run_group(&mut self, group: &[&'a Cell], run: RunGroup<'_, 'a>) -> Result<()> {
        if self.policy.fail_fast && !self.summary.failed.is_empty() {
            self.skip(group);
            return Ok(());
        }
        self.context.check_interrupted()?;
        let group = self.granted_cells(group);
        let runnable = self.runnable_cells(&group)?;
        self.context.progress.add_done_cells(group.len() - runnable.len());
        if runnable.is_empty() {
            return Ok(());
        }
        let completions = run_isolating_panics(&runnable, run);
        let mut result = Ok(());
        for (cell, completion) in runnable.into_iter().zip(completions) {
            self.context.progress.add_done_cells(1);
            // Count all cells of the group even if the error of one cell ends the run.
            result = result.and(self.record_end(cell, completion));
        }
        result
    }

    /// Counts a group's cells after an earlier failure has ended the run. A cell counts as done if an earlier
    /// worker of this sweep completed the cell. Any other cell counts as skipped.
    fn skip(&mut self, group: &[&Cell]) {
        let sweep = self.context.supervisor.sweep_state();
        let num_done = group.iter().filter(|cell| sweep.done.contains(&cell.key())).count();
        self.summary.done += num_done;
        self.summary.skipped += group.len() - num_done;
    }

    /// Returns the cells of a group that the supervisor grants to this worker. No other worker runs these
    /// cells.
    fn granted_cells(&self, group: &[&'a Cell]) -> Vec<&'a Cell> {
        let granted = self.context.supervisor.request_cells(group.iter().map(|cell| cell.key()).collect());
        group.iter().copied().filter(|cell| granted.contains(&cell.key())).collect()
    }

    /// Returns the cells of a group that must run and whose weights fit in memory. Counts the other cells in
    /// the summary.
    fn runnable_cells(&mut self, group: &[&'a Cell]) -> Result<Vec<&'a Cell>> {
        let mut runnable = Vec::new();
        let mut do_all_fit = true;
        for cell in group {
            if !self.needs_run(cell)? {
                continue;
            }
            match self.context.memory_limit.map_or(Ok(()), |limit| ensure_weights_fit(cell, limit)) {
                Ok(()) => runnable.push(*cell),
                Err(error) => {
                    do_all_fit = false;
                    self.record_end(cell, Err(error))?;
                }
            }
        }
        if !do_all_fit && self.policy.fail_fast {
            self.summary.skipped += runnable.len();
            runnable.clear();
        }
        Ok(runnable)
    }

    /// Returns whether a cell must run. If the cell need not run, counts the cell in the summary.
    fn needs_run(&mut self, cell: &Cell) -> Result<bool> {
        let sweep = self.context.supervisor.sweep_state();
        let key = cell.key();
        let check = if self.verified.contains(&key) { CheckDepth::Full } else { CheckDepth::Quick };
        match self.context.store.cell_state(cell.id(), check)? {
            CellState::Done => {
                self.done.insert(key);
                // Cells that an earlier worker of this sweep completed count as done, not as cached.
                match sweep.done.contains(&key) {
                    true => self.summary.done += 1,
                    false => self.summary.cached += 1,
                }
                return Ok(false);
            }
            CellState::Failed(error) if !self.policy.retry_failed || sweep.has_failed(&key) => {
                self.summary.failed.push(UnfinishedCell::new(cell, error));
                return Ok(false);
            }
            CellState::Damaged(reason) => {
                self.context.progress.print_line(&format!("{}: {reason}; it runs again", cell.to_line()));
            }
            CellState::Failed(_) | CellState::Missing => {}
        }
        let Some((role, input)) = self.missing_input(cell) else { return Ok(true) };
        let reason = format!("its {role}, {input}, has no result");
        self.summary.blocked.push(UnfinishedCell::new(cell, reason));
        Ok(false)
    }

    /// Finds an input of `cell` that is in the plan and is not done. Returns the role and the id of this
    /// input, or `None` if all inputs in the plan are done.
    fn missing_input<'c>(&self, cell: &'c Cell) -> Option<(&'c String, &'c CellId)> {
        let is_missing =
            |input: &CellId| self.plan.cell(&input.key).is_some() && !self.done.contains(&input.key);
        cell.inputs().iter().find(|(_, input)| is_missing(input))
    }

    /// Counts a cell that ended. If the cell failed, records the failure.
    ///
    /// # Errors
    /// Fails if the run cannot continue: after an interruption, if the disk is full, or if input data is
    /// invalid.
    fn record_end(&mut self, cell: &Cell, completion: Result<CompletedBy>) -> Result<()> {
        let (supervisor, key) = (self.context.supervisor, cell.key());
        match completion {
            Ok(completion) => {
                self.done.insert(key);
                let end = match completion {
                    CompletedBy::ThisProcess => WorkEnd::Done,
                    CompletedBy::OtherProcess => WorkEnd::Released,
                };
                match end {
                    WorkEnd::Done => self.summary.done += 1,
                    _ => self.summary.cached += 1,
                }
                supervisor.report_end(&key, end);
                self.context.progress.print_line(&format!("done  {}", cell.to_line()));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                log_stop(self.context, cell.id())?;
                supervisor.report_end(&key, WorkEnd::Released);
                Err(error)
            }
            Err(error) if error.is_storage_failure() || error.is_bad_input() => {
                // Ignore an error of the log. If the disk is full, the log cannot be written either.
                let _ = log_stop(self.context, cell.id());
                supervisor.report_end(&key, WorkEnd::Released);
                Err(error)
            }
            Err(error) => self.record_failed(cell, &error),
        }
    }

    fn record_failed(&mut self, cell: &Cell, error: &Error) -> Result<()> {
        self.context.progress.print_line(&format!("failed  {}: {}", cell.to_line(), error.to_line()));
        record_failure(self.context, &cell.spec, None, error)?;
        self.summary.failed.push(UnfinishedCell::new(cell, error.to_line()));
        self.context.supervisor.report_end(&cell.key(), WorkEnd::Failed);
        Ok(())
    }
}

/// Runs cells together. After a panic, runs each cell separately, so that only a cell that panics fails.
fn run_isolating_panics<'a>(cells: &[&'a Cell], run: RunGroup<'_, 'a>) -> Vec<Result<CompletedBy>> {
    match (cells, catch_cell_panic(|| run(cells))) {
        (_, Ok(completions)) => completions,
        ([_], Err(error)) => vec![Err(error)],
        (_, Err(_)) => cells.iter().flat_map(|cell| run_isolating_panics(&[*cell], run)).collect(),
    }
}

#[cfg(test)]
mod tests;
