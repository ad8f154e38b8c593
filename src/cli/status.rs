//! `dtr status`: how far an experiment has come.

use std::collections::BTreeMap;

use clap::Args;

use super::{DeviceChoice, Experiment, print_json};
use crate::plan::{Status as CellStatus, status};
use crate::store::Stage;
use dtr_core::error::Result;

/// Count the cells of an experiment that are done, running, failed and missing.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    experiment: Experiment,
    #[command(flatten)]
    device: DeviceChoice,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<u8> {
        let plan = self.experiment.plan_on(&self.device)?;
        let statuses = status(&plan, &self.experiment.results.store()?)?;
        let mut counts: BTreeMap<Stage, [usize; 4]> = BTreeMap::new();
        for (cell, (status, _)) in plan.cells.iter().zip(statuses) {
            counts.entry(cell.stage).or_default()[column(status)] += 1;
        }
        if self.json {
            let rows = counts.iter().map(|(stage, [done, running, failed, missing])| {
                serde_json::json!({
                    "stage": stage, "done": done, "running": running, "failed": failed, "missing": missing
                })
            });
            print_json(&rows.collect::<Vec<_>>());
            return Ok(0);
        }
        println!("{:<12}{:>8}{:>9}{:>8}{:>9}", "stage", "done", "running", "failed", "missing");
        for (stage, [done, running, failed, missing]) in counts {
            println!("{:<12}{done:>8}{running:>9}{failed:>8}{missing:>9}", stage.name());
        }
        Ok(0)
    }
}

fn column(status: CellStatus) -> usize {
    match status {
        CellStatus::Done => 0,
        CellStatus::Running => 1,
        CellStatus::Failed => 2,
        CellStatus::Missing => 3,
    }
}
