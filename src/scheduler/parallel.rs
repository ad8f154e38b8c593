//! Runs score and search cells in several workers at the same time.

use super::{FailurePolicy, RunSummary, Scheduler};
use crate::plan::{Plan, WorkerOptions, WorkerPlan, can_run_in_parallel};
use crate::runner::{RunContext, SweepDivision};
use crate::stages::{Cell, STAGES, StageCache, stage_order};
use crate::store::{CellState, CheckDepth};
use dtr_core::error::Result;
use dtr_core::files::format_bytes;

/// Runs the cells of `plan` that are not done, as the first worker of a sweep.
///
/// If several workers should run the cells that can run in parallel, stops before these cells, reports the
/// division to the supervisor, and returns `None`. Otherwise runs all cells.
///
/// # Errors
/// Fails as [`run_plan`](super::run_plan) does.
pub fn run_plan_or_divide(
    plan: &Plan,
    context: &RunContext<'_>,
    policy: FailurePolicy,
    options: WorkerOptions,
) -> Result<Option<RunSummary>> {
    let mut scheduler = Scheduler::start(plan, context, policy)?;
    let mut cache = StageCache::default();
    let mut may_divide = options.allows_several();
    for stage in &STAGES {
        if may_divide && can_run_in_parallel(&stage.name) {
            may_divide = false;
            if let Some(division) = scheduler.plan_division(options)? {
                context.progress.finish();
                context.supervisor.request_parallel_workers(division);
                return Ok(None);
            }
        }
        scheduler.run_stage(&stage.name, &mut cache)?;
    }
    context.progress.finish();
    Ok(Some(scheduler.summary))
}

/// Runs the cells of `plan` that can run in parallel and that the supervisor grants to this worker. Returns
/// no summary, because the last worker of the sweep creates the summary.
///
/// # Errors
/// Fails as [`run_plan`](super::run_plan) does.
pub fn run_granted_cells(plan: &Plan, context: &RunContext<'_>, policy: FailurePolicy) -> Result<()> {
    let mut scheduler = Scheduler::start(plan, context, policy)?;
    scheduler.find_done_inputs()?;
    let mut cache = StageCache::default();
    let mut stages = STAGES.iter().map(|stage| &stage.name).filter(|stage| can_run_in_parallel(stage));
    stages.try_for_each(|stage| scheduler.run_stage(stage, &mut cache))
}

/// Returns the position of the first stage whose cells can run in parallel.
fn first_parallel_stage() -> usize {
    STAGES.iter().position(|stage| can_run_in_parallel(&stage.name)).unwrap_or(STAGES.len())
}

impl<'a> Scheduler<'a> {
    /// Plans a division among several workers of the cells that can run in parallel. Returns `None` if one
    /// worker should run all of these cells.
    fn plan_division(&self, options: WorkerOptions) -> Result<Option<SweepDivision>> {
        if self.policy.fail_fast && !self.summary.failed.is_empty() {
            return Ok(None);
        }
        let (plan, context) = (self.plan, self.context);
        let pending = self.pending_parallel_cells()?;
        let workers = WorkerPlan::new(&pending, options, context.memory_limit)?;
        if workers.count < 2 {
            return Ok(None);
        }
        let num_pending = pending.len();
        let share = workers.memory_limit.map(|bytes| format!(", each in at most {}", format_bytes(bytes)));
        context.progress.print_line(&format!(
            "{} workers run {num_pending} cells side by side{}",
            workers.count,
            share.unwrap_or_default()
        ));
        let is_earlier = |cell: &&Cell| stage_order(cell.stage()) < first_parallel_stage();
        Ok(Some(SweepDivision {
            num_workers: workers.count,
            memory_limit: workers.memory_limit,
            num_cells: plan.selected_cells().count(),
            num_ended_cells: plan.selected_cells().filter(is_earlier).count(),
            fail_fast: self.policy.fail_fast,
        }))
    }

    /// Returns the cells that can run in parallel, that must run, and whose inputs are done.
    fn pending_parallel_cells(&self) -> Result<Vec<&'a Cell>> {
        let sweep = self.context.supervisor.sweep_state();
        let mut pending = Vec::new();
        for cell in self.plan.selected_cells().filter(|cell| can_run_in_parallel(cell.stage())) {
            let may_run = match self.context.store.cell_state(cell.id(), CheckDepth::Quick)? {
                CellState::Done => false,
                CellState::Failed(_) => self.policy.retry_failed && !sweep.has_failed(&cell.key()),
                CellState::Missing | CellState::Damaged(_) => true,
            };
            if may_run && self.missing_input(cell).is_none() {
                pending.push(cell);
            }
        }
        Ok(pending)
    }

    /// Adds to `done` the done cells of the stages that do not run in parallel. The parallel cells may read
    /// the results of these cells. Does not verify the files of these cells, because the first worker has
    /// verified them.
    fn find_done_inputs(&mut self) -> Result<()> {
        for cell in self.plan.cells.iter().filter(|cell| !can_run_in_parallel(cell.stage())) {
            if self.context.store.cell_state(cell.id(), CheckDepth::Quick)? == CellState::Done {
                self.done.insert(cell.key());
            }
        }
        Ok(())
    }
}
