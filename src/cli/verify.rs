//! `dtr verify`: checks stored results. Compares digests, rebuilds tables and recomputes cells.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceArgs, ExperimentArgs, ResultsArgs, SandboxArgs, print_json};
use crate::device::UsageMeter;
use crate::plan::Plan;
use crate::publish::check_consistency;
use crate::runner::{ProgressDisplay, RunContext, SupervisorConnection, UserRequests};
use crate::store::{Audit, DamagedFile, Store};
use crate::verify::{
    RecomputeSample, RecomputedCells, ReportComparison, compare_rebuilt_report, recompute_cells,
};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::seed::Seed;

/// Check stored results: compare digests, rebuild tables and recompute a sample of cells
///
/// Reads every record of the results directory and the files of each record. With a manifest, also rebuilds
/// the tables of the experiment, compares its scores with the recorded answers, and recomputes a sample of
/// its cells in a temporary directory. Changes nothing. If results differ, lists the differences and exits
/// with code 1.
#[derive(Args)]
pub struct VerifyCommand {
    /// Manifest of the experiment; without a manifest, only records and their files are checked
    manifest: Option<PathBuf>,
    /// Override one value of the manifest, as in the sweep's command; may be repeated
    #[arg(long = "set", value_name = "PATH=TOML", requires = "manifest")]
    sets: Vec<String>,
    #[command(flatten)]
    results: ResultsArgs,
    /// Number of cells to recompute
    #[arg(long, value_name = "N", default_value_t = 2)]
    sample: usize,
    /// Read no twins and no other artifacts, and recompute no cell; necessary for published results
    #[arg(long, conflicts_with = "sample")]
    without_artifacts: bool,
    /// Seed that selects the cells to recompute
    #[arg(long, default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl VerifyCommand {
    pub(super) fn run(self) -> Result<u8> {
        let audit = self.audit()?;
        let mut verified = Verified::default();
        if let Some(manifest) = self.manifest {
            let experiment = ExperimentArgs { manifest, sets: self.sets, results: self.results };
            let size = if self.without_artifacts { 0 } else { self.sample };
            let sample = RecomputeSample { size, seed: Seed(self.seed) };
            match verify(&experiment, &self.device, &self.sandbox, self.without_artifacts, sample) {
                // Report the damaged files even if the verification fails because of them.
                Err(error) if error.kind() != ErrorKind::Interrupted && !audit.faults.is_empty() => {
                    eprintln!("cannot rebuild the tables: {}", error.to_line());
                }
                result => verified = result?,
            }
        } else {
            eprintln!("name a manifest to also rebuild tables and recompute cells");
        }
        let Verified { contradictions, comparison, recomputed } = verified;
        let faults = || {
            let records = audit.faults.iter().chain(&contradictions);
            records.chain(&comparison.faults).chain(&recomputed.faults)
        };
        let code = if faults().next().is_none() { 0 } else { ErrorKind::Failed.exit_code() };
        match self.json {
            true => print_json(&serde_json::json!({
                "records": audit.num_records,
                "files": audit.num_files,
                "tables": comparison.num_files,
                "recomputed": recomputed.descriptions,
                "incomparable": recomputed.num_incomparable,
                "differences": faults().collect::<Vec<_>>(),
            })),
            false => print_summary(&audit, &comparison, &recomputed, &faults().collect::<Vec<_>>()),
        }
        Ok(code)
    }
}

impl VerifyCommand {
    /// Audits the cells of the results folder, and the archives of published results in this folder.
    fn audit(&self) -> Result<Audit> {
        let mut total = Audit::default();
        for store in self.results.stores()? {
            if store.is_archive() && !self.without_artifacts {
                let folder = self.results.results.display();
                return Err(Error::manifest(format!(
                    "`{folder}` holds published results, without artifacts"
                ))
                .hint("add `--without-artifacts`"));
            }
            let store = if self.without_artifacts { store.without_artifacts() } else { store };
            let audit = store.audit()?;
            total.num_records += audit.num_records;
            total.num_files += audit.num_files;
            total.faults.extend(audit.faults);
        }
        Ok(total)
    }
}

/// The results of verifying an experiment.
#[derive(Default)]
struct Verified {
    contradictions: Vec<DamagedFile>,
    comparison: ReportComparison,
    recomputed: RecomputedCells,
}

/// Compares the records of an experiment with one another, rebuilds its tables, and recomputes a sample of
/// its cells. If an archived record contradicts another, rebuilds no table, because the archive may come from
/// a stranger.
fn verify(
    experiment: &ExperimentArgs,
    device: &DeviceArgs,
    sandbox: &SandboxArgs,
    without_artifacts: bool,
    sample: RecomputeSample,
) -> Result<Verified> {
    let (plan, store) = experiment.open(device.device)?;
    let store = if without_artifacts { store.without_artifacts() } else { store };
    let contradictions = check_consistency(&plan, &store)?;
    if store.is_archive() && !contradictions.is_empty() {
        return Ok(Verified { contradictions, ..Verified::default() });
    }
    let results = &experiment.results;
    let (tables, figures) = (results.tables(&plan), results.figures(&plan));
    let comparison = compare_rebuilt_report(&plan, &store, &experiment.sweep_command(), &tables, &figures)?;
    let recomputed = match without_artifacts {
        true => RecomputedCells::default(),
        false => recompute(&plan, &store, device, sandbox, sample)?,
    };
    Ok(Verified { contradictions, comparison, recomputed })
}

/// Recomputes a sample of the cells of an experiment.
fn recompute(
    plan: &Plan,
    store: &Store,
    device: &DeviceArgs,
    sandbox: &SandboxArgs,
    sample: RecomputeSample,
) -> Result<RecomputedCells> {
    let progress = ProgressDisplay::new(sample.size, UserRequests::listen()?);
    let meter = UsageMeter::for_device(device.device, 1);
    let context = RunContext {
        store,
        progress: &progress,
        devices: device.device.open_all()?,
        meter: &meter,
        provenance: device.provenance(),
        memory_limit: None,
        supervisor: &SupervisorConnection::default(),
        sandbox: &sandbox.options(),
    };
    recompute_cells(plan, &context, sample)
}

fn print_summary(
    audit: &Audit,
    comparison: &ReportComparison,
    recomputed: &RecomputedCells,
    faults: &[&DamagedFile],
) {
    println!("checked     {} records and {} artifacts", audit.num_records, audit.num_files);
    println!("rebuilt     {} tables, figures and pages", comparison.num_files);
    match recomputed.descriptions.as_slice() {
        [] => println!("recomputed  no cell"),
        descriptions => println!("recomputed  {}", descriptions.join("; ")),
    }
    if recomputed.num_incomparable > 0 {
        println!(
            "            {} cells cannot be compared: they are timings or come from another device",
            recomputed.num_incomparable
        );
    }
    for DamagedFile { path, reason } in faults {
        println!("difference  {}: {reason}", path.display());
    }
    println!("{}", if faults.is_empty() { "no differences" } else { "results differ" });
}
