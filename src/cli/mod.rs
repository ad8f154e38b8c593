//! The command line. Each subcommand has its own file here. Commands print results to standard output, and
//! messages to standard error.

mod bench;
mod complete;
mod completions;
mod convert;
mod doctor;
mod export;
mod generate;
mod init;
mod model_args;
mod plan;
mod prune;
mod publish;
mod push;
mod quickstart;
mod report;
mod schema;
mod serve;
mod show;
mod status;
mod submit;
mod sweep;
mod verify;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use dtr_sandbox::ConfinementPolicy;

use crate::device;
use crate::manifest::{LoadedManifest, Manifest, load_manifest, load_portable_manifest};
use crate::plan::{Plan, WorkerOptions, plan_for_cpu, plan_for_machine};
use crate::publish::{archive_path, list_archives, open_archive};
use crate::runner::SandboxOptions;
use crate::store::{Provenance, RecordArchive, Store};
use dtr_core::error::{Error, Result};

/// Distill-then-Replace: build and score task-guided hybrids of full and linear attention.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The doc comment of a subcommand's `Args` type is the help text of the subcommand. A doc comment on a
// variant would replace that text.
#[derive(Subcommand)]
enum Command {
    Quickstart(quickstart::QuickstartCommand),
    Init(init::InitCommand),
    Sweep(sweep::SweepCommand),
    Submit(submit::SubmitCommand),
    Plan(plan::PlanCommand),
    Status(status::StatusCommand),
    Show(show::ShowCommand),
    Prune(prune::PruneCommand),
    Report(report::ReportCommand),
    Publish(publish::PublishCommand),
    Verify(verify::VerifyCommand),
    Export(export::ExportCommand),
    Push(push::PushCommand),
    Convert(convert::ConvertCommand),
    Generate(generate::GenerateCommand),
    Complete(complete::CompleteCommand),
    Serve(serve::ServeCommand),
    Schema(schema::SchemaCommand),
    Bench(bench::BenchCommand),
    Doctor(doctor::DoctorCommand),
    Completions(completions::CompletionsCommand),
}

impl Cli {
    /// Runs the command, and returns the exit code.
    ///
    /// # Errors
    /// Fails if the command fails. The kind of the error determines the exit code.
    pub fn run(self) -> Result<u8> {
        match self.command {
            Command::Quickstart(command) => command.run(),
            Command::Init(command) => command.run(),
            Command::Sweep(command) => command.run(),
            Command::Submit(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Prune(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Publish(command) => command.run(),
            Command::Push(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Convert(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Complete(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Doctor(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    }
}

/// The arguments that select an experiment, its settings and its results directory.
#[derive(Args)]
struct ExperimentArgs {
    /// Manifest of the experiment, such as `experiments/quickstart.toml`.
    manifest: PathBuf,
    /// Override one value of the manifest, such as `distil.token-budget="1M"`; may be repeated.
    #[arg(long = "set", value_name = "PATH=TOML")]
    sets: Vec<String>,
    #[command(flatten)]
    results: ResultsArgs,
}

const DEFAULT_RESULTS: &str = "results";

/// The argument that selects the results directory.
#[derive(Args)]
struct ResultsArgs {
    /// Results directory.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RESULTS)]
    results: PathBuf,
}

impl ExperimentArgs {
    fn load(&self) -> Result<LoadedManifest> {
        load_manifest(&self.manifest, &self.sets)
    }

    fn plan(&self) -> Result<Plan> {
        plan_for_cpu(&self.load()?)
    }

    fn plan_on(&self, device: &DeviceArgs) -> Result<Plan> {
        plan_for_machine(&self.load()?, &device.device.machine_label())
    }

    /// Loads the manifest with paths relative to its folder. The result can be compared with a published
    /// manifest.
    fn load_portable(&self) -> Result<Manifest> {
        load_portable_manifest(&self.manifest, &self.sets)
    }

    /// Returns whether the results folder holds published results of the experiment.
    fn is_published(&self) -> Result<bool> {
        let name = self.load()?.manifest.name.unwrap_or_default();
        Ok(archive_path(&self.results.results, &name).exists())
    }

    /// Returns the plan and the store of the experiment. If the results folder holds published results of
    /// the experiment, reads only these results, and neither bases nor data files.
    fn open(&self, device: device::DeviceChoice) -> Result<(Plan, Store)> {
        let (loaded, machine) = (self.load()?, device.machine_label());
        if self.is_published()? {
            return open_archive(&self.results.results, &loaded, &self.load_portable()?, &machine);
        }
        Ok((plan_for_machine(&loaded, &machine)?, self.results.store()?))
    }

    /// Checks that the results folder holds no published results of the experiment. Such a folder is
    /// read-only, so no cell can run there.
    fn ensure_not_published(&self) -> Result<()> {
        match self.is_published()? {
            true => Err(Error::manifest(format!(
                "`{}` holds published results of the experiment, which are read-only",
                self.results.results.display()
            ))
            .hint("name another folder with `--results`, and publish its results afterwards")),
            false => Ok(()),
        }
    }

    /// Returns the command line that runs the experiment, for hints to the user.
    fn sweep_command(&self) -> String {
        let mut command = format!("dtr sweep {}", self.manifest.display());
        for set in &self.sets {
            command += &format!(" --set '{}'", set.replace('\'', r"'\''"));
        }
        let is_default = self.results.results == Path::new(DEFAULT_RESULTS);
        if !is_default && !self.is_published().unwrap_or_default() {
            command += &format!(" --results {}", self.results.results.display());
        }
        command
    }
}

impl ResultsArgs {
    /// Opens the store. If the results folder has cells of an earlier version of the program, tells the user
    /// that these cells are ignored.
    fn store(&self) -> Result<Store> {
        let store = Store::open(&self.results)?;
        if let Some(folder) = store.results_folder().find_old_cells_folder() {
            let folder = folder.display();
            eprintln!(
                "`{folder}` is ignored, because an earlier version wrote it; delete it to free its space"
            );
        }
        Ok(store)
    }

    /// Opens the store of the results folder, and one store for each archive of published results in this
    /// folder.
    fn stores(&self) -> Result<Vec<Store>> {
        let archives = list_archives(&self.results)?;
        let archived =
            archives.iter().map(|path| Ok(Store::from_archive(&self.results, RecordArchive::read(path)?)));
        std::iter::once(self.store()).chain(archived).collect()
    }

    fn tables(&self, plan: &Plan) -> PathBuf {
        self.results.join("tables").join(&plan.name)
    }

    fn figures(&self, plan: &Plan) -> PathBuf {
        self.results.join("figures").join(&plan.name)
    }
}

/// The argument that selects the device.
#[derive(Args)]
struct DeviceArgs {
    /// Device that computes: `cpu`, or `cuda:0` in a build with the feature `cuda`. With `cuda:0,1`, two GPUs
    /// divide the work.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: device::DeviceChoice,
}

impl DeviceArgs {
    fn provenance(&self) -> Provenance {
        Provenance {
            driver: self.device.driver(),
            repeatable: Some(self.device.is_deterministic()),
            ..Provenance::of_this_process(self.device.description(), rayon::current_num_threads())
        }
    }
}

/// The arguments of the sandbox for Python programs that a model wrote.
#[derive(Args)]
struct SandboxArgs {
    /// Python interpreter for tasks whose answers are programs.
    #[arg(long, value_name = "PYTHON", default_value = DEFAULT_PYTHON)]
    python: PathBuf,
    /// Write `accept` to run such programs on a machine that cannot confine them. They can then do whatever
    /// you can do.
    #[arg(long, value_name = "accept")]
    unsafe_code: Option<UnsafeCode>,
}

const DEFAULT_PYTHON: &str = "python3";

/// The user's decision about programs that cannot be confined.
#[derive(Clone, Copy, ValueEnum)]
enum UnsafeCode {
    Accept,
}

impl Default for SandboxArgs {
    fn default() -> Self {
        Self { python: DEFAULT_PYTHON.into(), unsafe_code: None }
    }
}

impl SandboxArgs {
    fn options(&self) -> SandboxOptions {
        let policy = match self.unsafe_code {
            Some(UnsafeCode::Accept) => ConfinementPolicy::AcceptUnsafe,
            None => ConfinementPolicy::Require,
        };
        SandboxOptions::new(self.python.clone(), policy)
    }
}

/// The argument that sets the number of worker processes.
#[derive(Args, Default)]
struct WorkersArgs {
    /// Number of worker processes that run score and search cells in parallel [default: 4 on a GPU if the
    /// bases are small, else 1].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
}

impl WorkersArgs {
    fn options(&self, device: &DeviceArgs) -> WorkerOptions {
        WorkerOptions { device: device.device, requested: self.workers }
    }
}

fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("a printed value is plain JSON"));
}

fn print_notes(plan: &Plan) {
    for note in &plan.notes {
        eprintln!("{note}");
    }
}
