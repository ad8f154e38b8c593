//! `dtr report`: writes the tables, the figures and the HTML page of an experiment from stored records.

use std::path::PathBuf;

use clap::Args;

use super::{ExperimentArgs, ResultsArgs, print_json};
use crate::device::DeviceChoice;
use crate::plan::Plan;
use crate::publish::check_consistency;
use crate::report;
use crate::store::Store;
use dtr_core::error::{Error, ErrorKind, Result};

/// Write tables and figures from finished cells, without running cells
///
/// If cells are missing, writes the report of the finished cells and exits with code 3. If the results
/// directory holds published results of the experiment, reads them, and no base or data file.
#[derive(Args)]
pub struct ReportCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Print the paths as JSON instead of the summary
    #[arg(long)]
    json: bool,
}

impl ReportCommand {
    pub(super) fn run(self) -> Result<u8> {
        let (plan, store) = self.experiment.open(DeviceChoice::Cpu)?;
        let command = self.experiment.sweep_command();
        let written = write_report(&self.experiment.results, &command, &plan, &store)?;
        if self.json {
            print_json(&serde_json::json!({ "missing": written.num_missing, "paths": written.paths }));
        } else {
            written.print();
        }
        if written.num_missing == 0 {
            return Ok(0);
        }
        match written.num_missing {
            1 => eprintln!("1 cell is missing; run `{command}` to compute it"),
            many => eprintln!("{many} cells are missing; run `{command}` to compute them"),
        }
        Ok(ErrorKind::Missing.exit_code())
    }
}

/// A report that was written.
pub(super) struct WrittenReport {
    /// Summary for the terminal.
    pub summary: String,
    /// Paths of the files.
    pub paths: Vec<PathBuf>,
    /// Number of cells that are not done.
    pub num_missing: usize,
}

impl WrittenReport {
    pub fn print(&self) {
        println!("{}", self.summary.trim_end());
        println!();
        for path in &self.paths {
            println!("{}", path.display());
        }
    }
}

/// Checks that the records of an archive do not contradict one another. This check is necessary because an
/// archive may come from a stranger.
fn ensure_consistent(plan: &Plan, store: &Store) -> Result<()> {
    match check_consistency(plan, store)?.first() {
        None => Ok(()),
        Some(fault) => {
            Err(Error::environment(format!("cannot use `{}`: {}", fault.path.display(), fault.reason))
                .hint("run `dtr verify --without-artifacts` to list all contradictions"))
        }
    }
}

/// Reads the finished cells of a plan and writes their report to `results`. `command` is the command line
/// that computes missing cells.
///
/// # Errors
/// Fails if a record cannot be read, if an archived record contradicts another, or if a file cannot be
/// written.
pub(super) fn write_report(
    results: &ResultsArgs,
    command: &str,
    plan: &Plan,
    store: &Store,
) -> Result<WrittenReport> {
    if store.is_archive() {
        ensure_consistent(plan, store)?;
    }
    let records = report::ExperimentRecords::read(plan, store, command)?;
    let data = report::ReportData::new(&records);
    let paths = report::write_report_files(&data, &results.tables(plan), &results.figures(plan))?;
    Ok(WrittenReport { summary: report::summary_text(&data), paths, num_missing: records.missing.len() })
}
