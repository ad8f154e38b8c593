//! `dtr plan`: the cells of an experiment, and why each would run.

use clap::Args;

use super::{Experiment, print_json};
use crate::error::Result;
use crate::plan::{Cell, Reason, Status, status};

/// Show the cells of an experiment, and why each would run.
#[derive(Args)]
pub struct PlanCommand {
    #[command(flatten)]
    experiment: Experiment,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PlanCommand {
    pub(super) fn run(self) -> Result<u8> {
        let plan = self.experiment.plan()?;
        let store = self.experiment.results.store()?;
        let statuses = status(&plan, &store)?;
        let rows = plan.cells.iter().zip(&statuses);
        if self.json {
            let cells: Vec<_> =
                rows.map(|(cell, (status, reason))| json(cell, *status, reason.as_ref())).collect();
            print_json(&cells);
            return Ok(0);
        }
        for (cell, (status, reason)) in rows {
            println!("{:<8} {}  {}", word(*status), cell.key.short(), cell.line());
            if let Some(reason) = reason {
                println!("         {}", reason.line());
            }
        }
        Ok(0)
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Running => "running",
        Status::Failed => "failed",
        Status::Missing => "to do",
    }
}

fn json(cell: &Cell, status: Status, reason: Option<&Reason>) -> serde_json::Value {
    serde_json::json!({
        "stage": cell.stage,
        "key": cell.key,
        "labels": cell.labels,
        "status": status,
        "reason": reason,
        "inputs": cell.inputs,
    })
}
