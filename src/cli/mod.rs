//! The door: one file per subcommand. Standard output is data, standard error is talk.

mod bench;
mod completions;
mod doctor;
mod export;
mod generate;
mod plan;
mod prune;
mod quickstart;
mod report;
mod schema;
mod show;
mod status;
mod sweep;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::device;
use crate::manifest::{LoadedManifest, load};
use crate::plan::{Plan, plan as make_plan, plan_on};
use crate::store::{Provenance, Store};
use dtr_core::error::Result;

/// Distill-then-Replace: task-guided hybrids of full and linear attention, as declared experiments.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the bundled base and its experiments to a folder, and run the quick start there.
    Quickstart(quickstart::Quickstart),
    /// Do every cell of an experiment that is not done, then write tables and figures.
    Sweep(sweep::Sweep),
    /// Show the cells of an experiment, and why each would run.
    Plan(plan::PlanCommand),
    /// Count the cells of an experiment that are done, running, failed and missing.
    Status(status::Status),
    /// Show one cell: its spec, inputs, result, provenance and log.
    Show(show::Show),
    /// List, or delete, files of the results folder that no record needs.
    Prune(prune::Prune),
    /// Write tables and figures from what is done; runs nothing.
    Report(report::Report),
    /// Read results again, compare digests and tables, and do some cells anew.
    Verify(verify::Verify),
    /// Write a hybrid that a search found as a Hugging Face directory; runs nothing.
    Export(export::Export),
    /// Continue a prompt with a base or an exported hybrid.
    Generate(generate::Generate),
    /// Write the JSON schemas of manifests and tables, or check that they are current.
    Schema(schema::Schema),
    /// Measure what this program saves.
    Bench(bench::Bench),
    /// Say what this machine offers and lacks.
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

impl Cli {
    /// Does what the command line says; the exit code of a run that is no error.
    pub fn run(self) -> Result<u8> {
        match self.command {
            Command::Quickstart(command) => command.run(),
            Command::Sweep(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Prune(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Doctor(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    }
}

/// An experiment and where its results lie.
#[derive(Args)]
struct Experiment {
    /// The experiment's manifest, such as `experiments/quickstart.toml`.
    manifest: PathBuf,
    /// Override one value of the manifest, such as `distil.token-budget="1M"`; may be repeated.
    #[arg(long = "set", value_name = "PATH=TOML")]
    sets: Vec<String>,
    #[command(flatten)]
    results: Results,
}

/// Where results lie unless the command line says otherwise.
const DEFAULT_RESULTS: &str = "results";

/// Where results lie.
#[derive(Args)]
struct Results {
    /// Directory of results.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RESULTS)]
    results: PathBuf,
}

impl Experiment {
    fn load(&self) -> Result<LoadedManifest> {
        load(&self.manifest, &self.sets)
    }

    fn plan(&self) -> Result<Plan> {
        make_plan(&self.load()?)
    }

    /// The plan for a device of this machine.
    fn plan_on(&self, choice: &DeviceArgs) -> Result<Plan> {
        plan_on(&self.load()?, &choice.device.hardware_label())
    }

    /// The command line that does the experiment, for hints.
    fn sweep_command(&self) -> String {
        let mut command = format!("dtr sweep {}", self.manifest.display());
        for set in &self.sets {
            command += &format!(" --set '{}'", set.replace('\'', r"'\''"));
        }
        if self.results.results != Path::new(DEFAULT_RESULTS) {
            command += &format!(" --results {}", self.results.results.display());
        }
        command
    }
}

impl Results {
    /// Opens the store. Reports a folder of an earlier version, which is ignored.
    fn store(&self) -> Result<Store> {
        let store = Store::open(&self.results)?;
        if let Some(folder) = store.results().outdated_cells() {
            let folder = folder.display();
            eprintln!(
                "`{folder}` is ignored, since an earlier version wrote it; delete it to free its space"
            );
        }
        Ok(store)
    }

    fn tables(&self, plan: &Plan) -> PathBuf {
        self.results.join("tables").join(&plan.name)
    }

    fn figures(&self, plan: &Plan) -> PathBuf {
        self.results.join("figures").join(&plan.name)
    }
}

/// The device that computes.
#[derive(Args)]
struct DeviceArgs {
    /// The device that computes: `cpu`, or `cuda:0` in a build with the feature `cuda`; several share the work as `cuda:0,1`.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: device::DeviceChoice,
}

impl DeviceArgs {
    /// Where results of this process come from.
    fn provenance(&self) -> Provenance {
        Provenance {
            driver: self.device.driver(),
            repeatable: Some(self.device.is_deterministic()),
            ..Provenance::of_this_process(self.device.name(), rayon::current_num_threads())
        }
    }
}

/// Prints JSON for programs.
fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("what is printed has JSON"));
}
