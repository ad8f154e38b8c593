//! `dtr status`: shows which cells of an experiment are done, run, wait and failed.

mod cells;
mod jobs;
mod text;
mod watch;

use clap::Args;

use self::cells::{CellReport, CellStates};
use self::jobs::{JobReport, Jobs};
use super::{DeviceArgs, ExperimentArgs, print_json};
use crate::plan::Plan;
use crate::store::Store;
use dtr_core::error::Result;

/// Show which cells are done, running and failed, and which jobs of Slurm wait.
///
/// Reads the results directory, whichever host writes it, and calls `squeue` once. Works without Slurm.
#[derive(Args)]
pub struct StatusCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Show the status every two seconds, until all cells are done or Ctrl-C ends the command.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl StatusCommand {
    pub(super) fn run(self) -> Result<u8> {
        let (plan, store) = self.experiment.open(self.device.device)?;
        let mut observer = StatusObserver::new(&plan, &store, self.experiment.results.jobs_of(&plan)?);
        if self.watch {
            watch::watch(&mut observer)?;
            return Ok(0);
        }
        let status = observer.observe()?;
        match self.json {
            true => print_json(&status.json()),
            false => print!("{}", text::render(&status)),
        }
        Ok(0)
    }
}

/// The status of an experiment.
pub(super) struct ExperimentStatus<'a> {
    /// The cells, in the order of the plan.
    cells: Vec<CellReport<'a>>,
    /// The jobs of the experiment. `None` if `squeue` does not answer.
    jobs: Option<Vec<JobReport>>,
}

/// Observes an experiment. Repeated observations read only what may have changed.
pub(super) struct StatusObserver<'a> {
    cells: CellStates<'a>,
    jobs: Jobs,
    is_archive: bool,
}

impl<'a> StatusObserver<'a> {
    fn new(plan: &'a Plan, store: &'a Store, jobs: Jobs) -> Self {
        Self { cells: CellStates::new(plan, store), jobs, is_archive: store.is_archive() }
    }

    fn observe(&mut self) -> Result<ExperimentStatus<'a>> {
        let cells = self.cells.read()?;
        // `squeue` answers after the leases were read. So a lease whose job it does not list is stale.
        if !self.is_archive {
            self.jobs.refresh(&cells);
        }
        let queue = self.jobs.queue();
        let cells = cells.into_iter().map(|cell| cell.with_queue(queue)).collect();
        Ok(ExperimentStatus { cells, jobs: self.jobs.of_experiment() })
    }
}

impl ExperimentStatus<'_> {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "stages": cells::count_by_stage(&self.cells),
            "cells": self.cells,
            "jobs": self.jobs,
        })
    }
}
