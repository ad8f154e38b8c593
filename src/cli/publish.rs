//! `dtr publish`: writes the results of an experiment to a folder that can be committed.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::report::write_report;
use super::{ExperimentArgs, ResultsArgs, print_json};
use crate::device::DeviceChoice;
use crate::publish::write_archive;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::files::format_bytes;

/// Write the results of an experiment to a directory that can be committed
///
/// Writes one compressed archive of records, and the tables, the figures and the page. Twins and other
/// weights are left out. `dtr report`, `dtr status`, `dtr show` and `dtr verify --without-artifacts` read
/// the directory with `--results`, without bases and data files. Several experiments can share the
/// directory. If cells are missing, publishes the finished cells and exits with code 3. Cells that the
/// directory already has stay in it, so that parts of an experiment can be computed on different machines.
#[derive(Args)]
pub struct PublishCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Directory of published results, such as `results/published`
    directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PublishCommand {
    pub(super) fn run(self) -> Result<u8> {
        self.ensure_other_directory()?;
        self.experiment.ensure_not_published()?;
        let (plan, store) = (self.experiment.plan()?, self.experiment.results.store()?);
        let command = self.experiment.sweep_command();
        let archive = write_archive(self.experiment.load_portable()?, &plan, &store, &self.directory)?;
        let archive_bytes = size(&archive.path)?;
        // The report is made from the archive, because readers will also make their reports from the archive.
        let published =
            ExperimentArgs { results: ResultsArgs { results: self.directory }, ..self.experiment };
        let (plan, store) = published.open(DeviceChoice::Cpu)?;
        let written = write_report(&published.results, &command, &plan, &store)?;
        let report_bytes = written.paths.iter().map(size).sum::<Result<u64>>()?;
        if self.json {
            print_json(&serde_json::json!({
                "archive": archive.path,
                "records": archive.num_records,
                "dropped": archive.num_dropped,
                "archive-bytes": archive_bytes,
                "report-bytes": report_bytes,
                "missing": written.num_missing,
            }));
        } else {
            let (archive_size, report_size) = (format_bytes(archive_bytes), format_bytes(report_bytes));
            println!("archive  {archive_size}, {} records: {}", archive.num_records, archive.path.display());
            println!("report   {report_size}, {} tables, figures and pages", written.paths.len());
        }
        if archive.num_dropped > 0 {
            eprintln!(
                "warning: {} records of the earlier archive belong to no cell of this manifest, and were dropped",
                archive.num_dropped
            );
        }
        match written.num_missing {
            0 => return Ok(0),
            1 => eprintln!("1 cell is missing; run `{command}` to compute it"),
            many => eprintln!("{many} cells are missing; run `{command}` to compute them"),
        }
        Ok(ErrorKind::Missing.exit_code())
    }

    /// Checks that the results are not published to the folder in which they were computed.
    fn ensure_other_directory(&self) -> Result<()> {
        let [from, to] = [&self.experiment.results.results, &self.directory].map(fs::canonicalize);
        match (from, to) {
            (Ok(from), Ok(to)) if from == to => {
                Err(Error::manifest("cannot publish results into the folder in which they were computed")
                    .hint("name another directory, such as `results/published`"))
            }
            _ => Ok(()),
        }
    }
}

fn size(path: &PathBuf) -> Result<u64> {
    Ok(fs::metadata(path).map_err(|cause| Error::io("inspect", path, cause))?.len())
}
