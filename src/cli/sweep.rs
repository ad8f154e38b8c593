//! `dtr sweep`: runs the cells of an experiment and writes its report.

use clap::Args;

use super::{
    DeviceArgs, ExperimentArgs, SandboxArgs, WorkersArgs, print_json, print_notes,
    report::{WrittenReport, write_report},
};
use crate::device::UsageMeter;
use crate::plan::{CellFilter, Plan};
use crate::runner::{ProgressDisplay, RunContext, SupervisorConnection, WorkerRole, supervise};
use crate::scheduler::{
    FailurePolicy, HubDigests, RunSummary, UnfinishedCell, fetch_downloads, run_granted_cells, run_plan,
    run_plan_or_divide,
};
use crate::stages::ensure_dtypes_supported;
use crate::store::{CellState, CheckDepth, Provenance, Store};
use dtr_core::error::{ErrorKind, Result};

/// Run every cell of an experiment that is not done, then write tables and figures.
///
/// Running the command again resumes the sweep, because finished cells are cached. Ctrl-C saves the current
/// step and stops the sweep.
#[derive(Args)]
pub struct SweepCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    workers: WorkersArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Run only the cells of a stage, such as `distil` or `search:MODEL`. Write no tables. May be repeated.
    #[arg(long, value_name = "STAGE[:MODEL]")]
    only: Vec<CellFilter>,
    /// Stop after the first cell that fails. Cells that run at the same time still finish.
    #[arg(long)]
    fail_fast: bool,
    /// Run failed cells again.
    #[arg(long)]
    retry_failed: bool,
    /// Print the counts of cells and the paths of the report as JSON instead of the summary.
    #[arg(long)]
    json: bool,
}

impl SweepCommand {
    /// Creates the sweep of `experiment` with every option at its default.
    pub(super) fn new(experiment: ExperimentArgs, device: DeviceArgs) -> Self {
        let (workers, sandbox) = (WorkersArgs::default(), SandboxArgs::default());
        let (fail_fast, retry_failed, json) = (false, false, false);
        Self { experiment, device, workers, sandbox, only: Vec::new(), fail_fast, retry_failed, json }
    }

    pub(super) fn run(self) -> Result<u8> {
        match SupervisorConnection::connect()? {
            Some(supervisor) => match (self.run_as_worker(&supervisor), supervisor.role()) {
                // The supervisor reports an interruption once, for all parallel workers.
                (Err(error), WorkerRole::Parallel { .. }) if error.kind() == ErrorKind::Interrupted => {
                    Ok(error.kind().exit_code())
                }
                (result, _) => result,
            },
            None => supervise(),
        }
    }

    /// Runs the sweep in a worker process.
    fn run_as_worker(&self, supervisor: &SupervisorConnection) -> Result<u8> {
        self.experiment.ensure_not_published()?;
        let mut plan = self.plan()?;
        let memory_limit = match supervisor.role() {
            WorkerRole::Parallel { memory_limit, .. } => memory_limit,
            // Measure the free memory before this process loads a model.
            WorkerRole::First | WorkerRole::Last => self.device.device.available_bytes(),
        };
        let (store, devices) = (self.experiment.results.store()?, self.device.device.open_all()?);
        if !is_done(&plan, &store)? {
            ensure_dtypes_supported(plan.selected_cells(), &devices[0])?;
        }
        let progress = ProgressDisplay::for_worker(plan.selected_cells().count(), supervisor);
        let mut hub_files = HubDigests::new();
        if !plan.downloads.is_empty() && !is_done(&plan, &store)? {
            hub_files = fetch_downloads(&plan.downloads, &progress)?;
            // Plan again, because the first plan could not check files that were not downloaded yet.
            plan = self.plan()?;
        }
        if matches!(supervisor.role(), WorkerRole::First) {
            print_notes(&plan);
        }
        let overrides = self.experiment.sets.clone();
        let context = RunContext {
            store: &store,
            progress: &progress,
            devices,
            meter: &UsageMeter::for_device(self.device.device, supervisor.role().num_workers()),
            provenance: Provenance { hub_files, overrides, ..self.device.provenance() },
            memory_limit,
            supervisor,
            sandbox: &self.sandbox.options(),
        };
        match self.run_cells(&plan, &context)? {
            Some(summary) => self.finish(&plan, &store, &summary),
            None => Ok(0),
        }
    }

    /// Plans the experiment, and selects the cells that the user asked for.
    fn plan(&self) -> Result<Plan> {
        let mut plan = self.experiment.plan_on(&self.device)?;
        plan.select(&self.only)?;
        Ok(plan)
    }

    /// Runs the cells of this worker. Returns `None` if another worker will write the report.
    fn run_cells(&self, plan: &Plan, context: &RunContext<'_>) -> Result<Option<RunSummary>> {
        let policy = FailurePolicy { fail_fast: self.fail_fast, retry_failed: self.retry_failed };
        match context.supervisor.role() {
            WorkerRole::First => {
                run_plan_or_divide(plan, context, policy, self.workers.options(&self.device))
            }
            WorkerRole::Parallel { .. } => run_granted_cells(plan, context, policy).map(|()| None),
            WorkerRole::Last => run_plan(plan, context, policy).map(Some),
        }
    }

    /// Writes the report, if the user did not restrict the sweep with `--only`. Prints the summary, and
    /// returns the exit code.
    fn finish(&self, plan: &Plan, store: &Store, summary: &RunSummary) -> Result<u8> {
        let write = |command| write_report(&self.experiment.results, command, plan, store);
        let written = match self.only.is_empty() {
            true => Some(write(&self.experiment.sweep_command())?),
            false => None,
        };
        if self.json {
            print_json(&serde_json::json!({
                "cached": summary.cached,
                "done": summary.done,
                "failed": summary.failed,
                "blocked": summary.blocked,
                "skipped": summary.skipped,
                "paths": written.map_or(Vec::new(), |written| written.paths),
            }));
        } else {
            written.iter().for_each(WrittenReport::print);
            print_summary(summary);
        }
        Ok(match (summary.failed.is_empty(), summary.blocked.is_empty()) {
            (true, true) => 0,
            (true, false) => ErrorKind::Missing.exit_code(),
            (false, _) => ErrorKind::Failed.exit_code(),
        })
    }
}

fn print_summary(summary: &RunSummary) {
    let cells = |count: usize| format!("{count} cell{}", if count == 1 { "" } else { "s" });
    eprintln!("{} done now, {} cached", cells(summary.done), cells(summary.cached));
    for UnfinishedCell { cell, key, reason } in &summary.failed {
        eprintln!("failed  {cell}: {reason}\n        `dtr show {}` shows more", key.short());
    }
    for UnfinishedCell { cell, reason, .. } in &summary.blocked {
        eprintln!("blocked {cell}: {reason}");
    }
    if summary.skipped > 0 {
        eprintln!("skipped {} after the first failure", cells(summary.skipped));
    }
    if !summary.failed.is_empty() {
        eprintln!("`--retry-failed` runs failed cells again");
    }
}

/// Returns whether every selected cell of the plan has its result.
fn is_done(plan: &Plan, store: &Store) -> Result<bool> {
    for cell in plan.selected_cells() {
        if store.cell_state(cell.id(), CheckDepth::Quick)? != CellState::Done {
            return Ok(false);
        }
    }
    Ok(true)
}
