//! `dtr report`: tables and figures from records alone.

use std::path::PathBuf;

use clap::Args;

use super::{Experiment, print_json};
use crate::plan::Plan;
use crate::report;
use crate::store::Store;
use dtr_core::error::{ErrorKind, Result};

/// Write tables and figures from what is done; runs nothing.
///
/// Exits with 3 when cells are missing; what is there is written all the same.
#[derive(Args)]
pub struct Report {
    #[command(flatten)]
    experiment: Experiment,
    /// Print the paths as JSON instead of Table 1.
    #[arg(long)]
    json: bool,
}

impl Report {
    pub(super) fn run(self) -> Result<u8> {
        let plan = self.experiment.plan()?;
        let written = write_report(&self.experiment, &plan, &self.experiment.results.store()?)?;
        if self.json {
            print_json(&serde_json::json!({ "missing": written.num_missing, "paths": written.paths }));
        } else {
            written.print();
        }
        if written.num_missing == 0 {
            return Ok(0);
        }
        let command = self.experiment.sweep_command();
        match written.num_missing {
            1 => eprintln!("1 cell is missing; `{command}` makes it"),
            many => eprintln!("{many} cells are missing; `{command}` makes them"),
        }
        Ok(ErrorKind::Missing.exit_code())
    }
}

/// What a report wrote.
pub(super) struct Written {
    /// Table 1 as text.
    pub table: String,
    /// The files.
    pub paths: Vec<PathBuf>,
    /// Cells that are not done.
    pub num_missing: usize,
}

impl Written {
    /// Prints Table 1 and the paths.
    pub fn print(&self) {
        println!("{}", self.table.trim_end());
        println!();
        for path in &self.paths {
            println!("{}", path.display());
        }
    }
}

/// Gathers what is done and writes it.
pub(super) fn write_report(experiment: &Experiment, plan: &Plan, store: &Store) -> Result<Written> {
    let evidence = report::gather(plan, store, &experiment.sweep_command())?;
    let results = &experiment.results;
    let data = report::ReportData::new(&evidence);
    let paths = report::write(&data, &results.tables(plan), &results.figures(plan))?;
    Ok(Written { table: report::summary_text(&data), paths, num_missing: evidence.missing.len() })
}
