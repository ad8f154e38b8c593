//! `dtr sweep`: the main job.

use clap::Args;

use super::{DeviceChoice, Experiment, print_json, report::write_report};
use crate::device::UsageMeter;
use crate::plan::{CellState, Check, Plan, cell_state};
use crate::runner::{
    Context, Digests, Failures, Progress, Summary, Without, Worker, ensure_computable, fetch, run, watch,
};
use crate::store::{Provenance, Store};
use dtr_core::error::{ErrorKind, Result};

/// Do every cell of an experiment that is not done, then write tables and figures.
///
/// Running it again resumes: what is done is remembered. Ctrl-C finishes the step and keeps it.
#[derive(Args)]
pub struct Sweep {
    #[command(flatten)]
    experiment: Experiment,
    #[command(flatten)]
    device: DeviceChoice,
    /// Stop at the first cell that fails; what runs beside it is finished.
    #[arg(long)]
    fail_fast: bool,
    /// Do cells again that failed before.
    #[arg(long)]
    retry_failed: bool,
    /// Print the summary and paths as JSON instead of Table 1.
    #[arg(long)]
    json: bool,
}

impl Sweep {
    /// The sweep of `experiment` with every option at its default.
    pub(super) fn new(experiment: Experiment, device: DeviceChoice) -> Self {
        Self { experiment, device, fail_fast: false, retry_failed: false, json: false }
    }

    pub(super) fn run(self) -> Result<u8> {
        match Worker::of_watcher()? {
            Some(worker) => self.work(&worker),
            None => watch(),
        }
    }

    /// Does what is to be done as the process that another one watches.
    fn work(self, worker: &Worker) -> Result<u8> {
        let mut plan = self.experiment.plan_on(&self.device)?;
        // Before this process itself takes some.
        let room = self.device.device.available_bytes();
        let (store, devices) = (self.experiment.results.store()?, self.device.device.open_all()?);
        if !is_done(&plan, &store)? {
            ensure_computable(&plan, &devices[0])?;
        }
        let progress = Progress::new(plan.cells.len(), worker.stopper());
        let mut hub_files = Digests::new();
        if !plan.needs.is_empty() && !is_done(&plan, &store)? {
            hub_files = fetch(&plan.needs, &progress)?;
            // What came is looked at as what was there: whether bases can serve tasks.
            plan = self.experiment.plan_on(&self.device)?;
        }
        let meter = UsageMeter::for_device(self.device.device);
        let context = Context {
            store: &store,
            progress: &progress,
            devices,
            meter: &meter,
            provenance: Provenance {
                hub_files,
                overrides: self.experiment.sets.clone(),
                ..self.device.provenance()
            },
            failures: Failures { end_the_run: self.fail_fast, are_retried: self.retry_failed },
            room,
            worker,
        };
        let summary = run(&plan, &context)?;
        let written = write_report(&self.experiment, &plan, &store)?;
        if self.json {
            print_json(&serde_json::json!({
                "remembered": summary.remembered,
                "done": summary.done,
                "failed": summary.failed,
                "waiting": summary.waiting,
                "left": summary.left,
                "paths": written.paths,
            }));
        } else {
            written.print();
            tell(&summary);
        }
        Ok(if summary.failed.is_empty() { 0 } else { ErrorKind::Failed.exit_code() })
    }
}

fn tell(summary: &Summary) {
    let cells = |count: usize| format!("{count} cell{}", if count == 1 { "" } else { "s" });
    eprintln!("{} done now, {} remembered", cells(summary.done), cells(summary.remembered));
    let told = |word: &str, (line, key, why): &Without| {
        eprintln!("{word:<8}{line}: {why}\n        `dtr explain {}` shows more", key.short());
    };
    summary.failed.iter().for_each(|cell| told("failed", cell));
    summary.waiting.iter().for_each(|(line, _, why)| eprintln!("waiting {line}: {why}"));
    if summary.left > 0 {
        eprintln!("{} not looked at after the first failure", cells(summary.left));
    }
    if !summary.failed.is_empty() {
        eprintln!("`--retry-failed` does failed cells again");
    }
}

/// Whether every cell of the plan has its result.
fn is_done(plan: &Plan, store: &Store) -> Result<bool> {
    for cell in &plan.cells {
        if cell_state(store, cell, Check::Quick)? != CellState::Done {
            return Ok(false);
        }
    }
    Ok(true)
}
