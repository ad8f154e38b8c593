//! `dtr verify`: whether results still are what they say.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceChoice, Experiment, Results, print_json};
use crate::device::UsageMeter;
use crate::runner::{Context, Failures, Progress, Stopper, Worker};
use crate::store::{Audit, Fault, Store};
use crate::verify::{Again, Compared, Sample, compare_tables, do_again};
use dtr_core::error::{ErrorKind, Result};
use dtr_core::seed::Seed;

/// Read results again, compare digests and tables, and do some cells anew; changes nothing.
///
/// Reads every record of the results directory and the files beside it. With a manifest, also makes its tables
/// anew from records, and does a sample of its cells again in a temporary directory. Exits with 1 and a list
/// when something differs.
#[derive(Args)]
pub struct Verify {
    /// The experiment's manifest; without it only records and their files are read.
    manifest: Option<PathBuf>,
    /// Override one value of the manifest, as the sweep did; may be repeated.
    #[arg(long = "set", value_name = "PATH=TOML", requires = "manifest")]
    sets: Vec<String>,
    #[command(flatten)]
    results: Results,
    /// Cells that are done again.
    #[arg(long, value_name = "N", default_value_t = 2)]
    sample: usize,
    /// Chooses the cells that are done again.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    device: DeviceChoice,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> Result<u8> {
        let store = self.results.store()?;
        let audit = store.audit()?;
        let (mut compared, mut again) = (Compared::default(), Again::default());
        if let Some(manifest) = self.manifest {
            let experiment = Experiment { manifest, sets: self.sets, results: self.results };
            let sample = Sample { size: self.sample, seed: Seed(self.seed) };
            match verify(&experiment, &store, &self.device, sample) {
                // What is wrong with the files is worth more than where it stopped the rest.
                Err(error) if error.kind() != ErrorKind::Interrupted && !audit.faults.is_empty() => {
                    eprintln!("tables were not compared: {}", error.to_line());
                }
                verified => (compared, again) = verified?,
            }
        } else {
            eprintln!("tables are compared and cells done again where a manifest is named");
        }
        let faults = || audit.faults.iter().chain(&compared.faults).chain(&again.faults);
        let code = if faults().next().is_none() { 0 } else { ErrorKind::Failed.exit_code() };
        match self.json {
            true => print_json(&serde_json::json!({
                "records": audit.num_records,
                "files": audit.num_files,
                "tables": compared.num_files,
                "again": again.lines,
                "incomparable": again.num_incomparable,
                "differences": faults().collect::<Vec<_>>(),
            })),
            false => tell(&audit, &compared, &again, &faults().collect::<Vec<_>>()),
        }
        Ok(code)
    }
}

fn verify(
    experiment: &Experiment,
    store: &Store,
    device: &DeviceChoice,
    sample: Sample,
) -> Result<(Compared, Again)> {
    let plan = experiment.plan_on(device)?;
    let results = &experiment.results;
    let (tables, figures) = (results.tables(&plan), results.figures(&plan));
    let compared = compare_tables(&plan, store, &experiment.sweep_command(), &tables, &figures)?;
    let progress = Progress::new(sample.size, Stopper::listen()?);
    let meter = UsageMeter::for_device(device.device);
    let context = Context {
        store,
        progress: &progress,
        devices: device.device.open_all()?,
        meter: &meter,
        provenance: device.provenance(),
        failures: Failures::default(),
        room: None,
        worker: &Worker::default(),
    };
    Ok((compared, do_again(&plan, &context, sample)?))
}

fn tell(audit: &Audit, compared: &Compared, again: &Again, faults: &[&Fault]) {
    println!("read      {} records and {} files beside them", audit.num_records, audit.num_files);
    println!("compared  {} tables, figures and pages", compared.num_files);
    match again.lines.as_slice() {
        [] => println!("again     no cell"),
        lines => println!("again     {}", lines.join("; ")),
    }
    if again.num_incomparable > 0 {
        println!(
            "          {} cells cannot be compared: they are of other devices, or about time",
            again.num_incomparable
        );
    }
    for Fault { path, why } in faults {
        println!("differs   {}: {why}", path.display());
    }
    println!("{}", if faults.is_empty() { "all as recorded" } else { "not all as recorded" });
}
