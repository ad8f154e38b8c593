//! `dtr status`: counts an experiment's cells by stage and status.

use std::collections::BTreeMap;

use clap::Args;

use super::{DeviceArgs, ExperimentArgs, print_json};
use crate::plan::{CellStatus, cell_statuses};
use crate::stages::STAGES;
use crate::store::StageName;
use dtr_core::error::Result;

/// Count the cells of each stage that are done, running, failed and missing.
#[derive(Args)]
pub struct StatusCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl StatusCommand {
    pub(super) fn run(self) -> Result<u8> {
        let (plan, store) = self.experiment.open(self.device.device)?;
        let statuses = cell_statuses(&plan, &store)?;
        let mut counts: BTreeMap<StageName, [usize; 4]> = BTreeMap::new();
        for (cell, (status, _)) in plan.cells.iter().zip(statuses) {
            counts.entry(cell.stage().clone()).or_default()[column(status)] += 1;
        }
        if self.json {
            let rows = in_order(&counts).map(|(stage, [done, running, failed, missing])| {
                serde_json::json!({
                    "stage": stage, "done": done, "running": running, "failed": failed, "missing": missing
                })
            });
            print_json(&rows.collect::<Vec<_>>());
            return Ok(0);
        }
        println!("{:<12}{:>8}{:>9}{:>8}{:>9}", "stage", "done", "running", "failed", "missing");
        for (stage, [done, running, failed, missing]) in in_order(&counts) {
            println!("{stage:<12}{done:>8}{running:>9}{failed:>8}{missing:>9}");
        }
        Ok(0)
    }
}

/// Returns the counts of each stage, in the order in which stages run.
fn in_order(counts: &BTreeMap<StageName, [usize; 4]>) -> impl Iterator<Item = (&StageName, &[usize; 4])> {
    STAGES.iter().filter_map(|stage| Some((&stage.name, counts.get(&stage.name)?)))
}

fn column(status: CellStatus) -> usize {
    match status {
        CellStatus::Done => 0,
        CellStatus::Running => 1,
        CellStatus::Failed => 2,
        CellStatus::Missing => 3,
    }
}
