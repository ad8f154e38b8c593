//! `dtr sweep`: the main job.

use clap::Args;

use super::{DeviceChoice, Experiment, print_json, report::write_report};
use crate::device::Meter;
use crate::error::{Kind, Result};
use crate::run::{Context, Digests, Progress, Stopper, Summary, fetch, is_done, run};

/// Do every cell of an experiment that is not done, then write tables and figures.
///
/// Running it again resumes: what is done is remembered. Ctrl-C finishes the step and keeps it.
#[derive(Args)]
pub struct Sweep {
    #[command(flatten)]
    experiment: Experiment,
    #[command(flatten)]
    device: DeviceChoice,
    /// Print the summary and paths as JSON instead of Table 1.
    #[arg(long)]
    json: bool,
}

impl Sweep {
    pub(super) fn run(self) -> Result<u8> {
        let mut plan = self.experiment.plan_on(&self.device)?;
        let store = self.experiment.results.store()?;
        let progress = Progress::new(plan.cells.len(), Stopper::listen()?);
        let mut hub_files = Digests::new();
        if !plan.needs.is_empty() && !plan.cells.iter().all(|cell| is_done(&store, cell).unwrap_or(false)) {
            hub_files = fetch(&plan.needs, &progress)?;
            // What came is looked at as what was there: whether bases can serve tasks.
            plan = self.experiment.plan_on(&self.device)?;
        }
        let context = Context {
            store: &store,
            progress: &progress,
            device: self.device.device.open()?,
            machine: self.device.device.machine(),
            meter: Meter::of(self.device.device),
            hub_files,
        };
        let summary = run(&plan, &context)?;
        let written = write_report(&self.experiment, &plan, &store)?;
        if self.json {
            print_json(&serde_json::json!({
                "remembered": summary.remembered,
                "done": summary.done,
                "failed": summary.failed,
                "paths": written.paths,
            }));
        } else {
            written.print();
            tell(&summary);
        }
        Ok(if summary.failed.is_empty() { 0 } else { Kind::Failed.exit_code() })
    }
}

fn tell(summary: &Summary) {
    let cells = |count: usize| format!("{count} cell{}", if count == 1 { "" } else { "s" });
    eprintln!("{} done now, {} remembered", cells(summary.done), cells(summary.remembered));
    for (line, key, error) in &summary.failed {
        eprintln!("failed  {line}: {error}\n        `dtr explain {}` shows more", key.short());
    }
}
