//! `dtr submit`: runs an experiment as jobs of Slurm.

mod jobs;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

pub(super) use self::jobs::job_name_prefix;
use self::jobs::{Part, PartOfBase, count_new_workers, list_parts, remove_blocked};
use super::{DeviceArgs, ExperimentArgs};
use crate::plan::{CellStatus, Plan, cell_statuses};
use crate::runner::{ProgressDisplay, UserRequests};
use crate::scheduler::fetch_downloads;
use crate::slurm::{BatchJob, JobScript, QueuedJob, list_jobs, quote};
use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder, write_atomically};

/// The folder of submissions in a results folder.
const SUBMISSIONS: &str = "jobs-v1";

/// Run an experiment as jobs of Slurm
///
/// Plans and downloads on this machine. Submits one job for the distillations of each base, an array of equal
/// workers for its searches, a job for timings, and a job that writes the report. All of them work in the
/// results directory, which must be visible to all hosts. A job that is preempted or reaches its time limit
/// writes a checkpoint and is requeued. Submit again to add workers for what is left.
#[derive(Args)]
pub struct SubmitCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// GPUs of each job, which become `--gres=gpu:N`. Name them with `--device`, such as `cuda:0`
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,
    /// Most workers in the array of each base's searches
    #[arg(long, value_name = "N", default_value_t = 16)]
    workers: usize,
    /// Time limit of each run of a job, as in `sbatch --time`
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Partition of the jobs
    #[arg(long)]
    partition: Option<String>,
    /// Account of the jobs
    #[arg(long)]
    account: Option<String>,
    /// How often a job that was stopped is started again
    #[arg(long, value_name = "N", default_value_t = 50)]
    max_restarts: u32,
    /// Run failed cells again
    #[arg(long)]
    retry_failed: bool,
    /// Print the script and the calls of `sbatch`, and submit nothing
    #[arg(long)]
    print: bool,
    /// Further options of `sbatch`, such as `--mem=64G`
    #[arg(last = true, value_name = "SBATCH-OPTIONS")]
    sbatch_options: Vec<String>,
}

/// A job that was submitted.
struct SubmittedJob {
    id: String,
    job: BatchJob,
    after: Vec<String>,
}

impl SubmitCommand {
    pub(super) fn run(self) -> Result<u8> {
        self.experiment.ensure_not_published()?;
        let mut plan = self.experiment.plan()?;
        if !self.print && !plan.downloads.is_empty() {
            let progress = ProgressDisplay::new(0, UserRequests::default());
            fetch_downloads(&plan.downloads, &progress)?;
            progress.finish();
            plan = self.experiment.plan()?;
        }
        let statuses = self.cell_statuses(&plan)?;
        let parts = self.list_parts(&plan, &statuses);
        if parts.is_empty() {
            println!("{}", describe_rest(&statuses));
            return Ok(0);
        }
        let results = self.absolute_results()?;
        let folder = results.join(SUBMISSIONS).join(new_submission_id());
        let script = JobScript {
            program: std::env::current_exe()
                .map_err(|cause| Error::environment("cannot find this program's path").with_source(cause))?,
            working_directory: working_directory()?,
            results,
            logs: folder.join("log"),
            max_restarts: self.max_restarts,
        };
        let queue = list_jobs();
        if self.print {
            println!("# {}\n{}", folder.join("job.sh").display(), script.text());
        } else {
            if queue.is_none() {
                return Err(Error::environment("cannot list the jobs of Slurm with `squeue`").hint(
                    "run `dtr submit` on a node that submits to Slurm, or show the jobs with `--print`",
                ));
            }
            create_folder(&script.logs)?;
            write_atomically(&folder.join("job.sh"), |file| file.write_all(script.text().as_bytes()))?;
        }
        let submitted = self.submit_jobs(&plan, &parts, &folder, &queue.unwrap_or_default())?;
        self.finish(&folder, &submitted)
    }

    fn cell_statuses(&self, plan: &Plan) -> Result<Vec<CellStatus>> {
        let statuses = cell_statuses(plan, &self.experiment.results.store()?)?;
        Ok(statuses.into_iter().map(|(status, _)| status).collect())
    }

    fn list_parts(&self, plan: &Plan, statuses: &[CellStatus]) -> Vec<PartOfBase> {
        let mut cells: Vec<_> = plan.cells.iter().zip(statuses.iter().copied()).collect();
        if !self.retry_failed {
            remove_blocked(&mut cells);
        }
        list_parts(&cells, self.retry_failed)
    }

    /// Submits the jobs of all parts, and the job of the report.
    fn submit_jobs(
        &self,
        plan: &Plan,
        parts: &[PartOfBase],
        folder: &Path,
        queue: &[QueuedJob],
    ) -> Result<Vec<SubmittedJob>> {
        let prefix = job_name_prefix(&plan.name, &self.experiment.results.results)?;
        let mut submitted = Vec::new();
        // The jobs of the previous part of the same base, and of all parts.
        let (mut before, mut all) = ((String::new(), Vec::new()), Vec::new());
        let mut trainings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for part in parts {
            let name = format!("{prefix}{}-{}", part.part.name(), part.model);
            let (num_tasks, present) = count_new_workers(part, self.workers, &name, queue);
            let mut after = if before.0 == part.model { before.1.clone() } else { Vec::new() };
            after
                .extend(part.other_bases.iter().filter_map(|base| trainings.get(&**base)).flatten().cloned());
            let mut ids = present;
            if num_tasks > 0 {
                let mut options = self.options();
                if part.part == Part::Throughput {
                    options.push("--exclusive".to_owned());
                }
                let arguments = self.sweep_arguments(part)?;
                let job = self.job(name, num_tasks, options, arguments, folder);
                let job = self.submit(job, after)?;
                ids.push(job.id.clone());
                submitted.push(job);
            }
            all.extend(ids.iter().cloned());
            if part.part == Part::Distil {
                trainings.insert(&part.model, ids.clone());
            }
            before = (part.model.clone(), ids);
        }
        if !submitted.is_empty() {
            let options = self.common_options();
            let arguments = self.experiment_arguments("report")?;
            let job = self.job(format!("{prefix}report"), 1, options, arguments, folder);
            submitted.push(self.submit(job, all)?);
        }
        Ok(submitted)
    }

    fn job(
        &self,
        name: String,
        num_tasks: usize,
        options: Vec<String>,
        arguments: Vec<String>,
        folder: &Path,
    ) -> BatchJob {
        let (script, logs) = (folder.join("job.sh"), folder.join("log"));
        BatchJob { name, num_tasks, options, arguments, script, logs }
    }

    /// Submits a job, or prints the call that would submit it.
    fn submit(&self, job: BatchJob, after: Vec<String>) -> Result<SubmittedJob> {
        let id = match self.print {
            true => {
                let arguments = job.sbatch_arguments(&after);
                println!("sbatch {}", arguments.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
                format!("ID-OF-{}", job.name)
            }
            false => job.submit(&after)?,
        };
        Ok(SubmittedJob { id, job, after })
    }

    /// Writes the description of the submission, and prints what was submitted.
    fn finish(&self, folder: &Path, submitted: &[SubmittedJob]) -> Result<u8> {
        if self.print {
            return Ok(0);
        }
        let jobs: Vec<_> = submitted
            .iter()
            .map(|SubmittedJob { id, job, after }| json!({ "id": id, "after": after, "job": job }))
            .collect();
        let text = json!({ "command": std::env::args().collect::<Vec<_>>(), "jobs": jobs }).to_string();
        write_atomically(&folder.join("submission.json"), |file| file.write_all(text.as_bytes()))?;
        for SubmittedJob { id, job, .. } in submitted {
            println!(
                "{id:>10}  {}, {} task{}",
                job.name,
                job.num_tasks,
                if job.num_tasks == 1 { "" } else { "s" }
            );
        }
        match submitted.is_empty() {
            true => println!("the jobs that are already submitted are enough"),
            false => println!("logs: {}", folder.join("log").display()),
        }
        Ok(0)
    }

    /// Returns the options of `sbatch` for jobs that compute.
    fn options(&self) -> Vec<String> {
        let mut options = self.common_options();
        if self.gpus > 0 {
            options.push(format!("--gres=gpu:{}", self.gpus));
        }
        options
    }

    /// Returns the options of `sbatch` for all jobs. Three minutes before the time limit, a job gets SIGTERM
    /// and writes its checkpoints.
    fn common_options(&self) -> Vec<String> {
        let fixed = ["--nodes=1", "--ntasks=1", "--requeue", "--open-mode=append", "--signal=TERM@180"];
        let mut options: Vec<String> = fixed.map(str::to_owned).to_vec();
        options.extend(self.time.iter().map(|time| format!("--time={time}")));
        options.extend(self.partition.iter().map(|partition| format!("--partition={partition}")));
        options.extend(self.account.iter().map(|account| format!("--account={account}")));
        options.extend(self.sbatch_options.iter().cloned());
        options
    }

    /// Returns the arguments of the program that run a part.
    fn sweep_arguments(&self, part: &PartOfBase) -> Result<Vec<String>> {
        let mut arguments = self.experiment_arguments("sweep")?;
        arguments.extend(["--device".to_owned(), self.device.device.to_string()]);
        arguments.extend(part.filters.iter().flat_map(|filter| ["--only".to_owned(), filter.clone()]));
        if self.retry_failed {
            arguments.push("--retry-failed".to_owned());
        }
        Ok(arguments)
    }

    fn experiment_arguments(&self, command: &str) -> Result<Vec<String>> {
        let manifest = self.experiment.manifest.display().to_string();
        let mut arguments = vec![command.to_owned(), manifest];
        arguments.extend(self.experiment.sets.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
        arguments.extend(["--results".to_owned(), self.absolute_results()?.display().to_string()]);
        Ok(arguments)
    }

    fn absolute_results(&self) -> Result<PathBuf> {
        let results = &self.experiment.results.results;
        std::path::absolute(results).map_err(|cause| Error::io("find", results, cause))
    }
}

fn working_directory() -> Result<PathBuf> {
    std::env::current_dir()
        .map_err(|cause| Error::environment("cannot find the working directory").with_source(cause))
}

/// Returns the name of a new submission: the time in UTC and the process.
fn new_submission_id() -> String {
    format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}

/// Says why there is nothing to submit.
fn describe_rest(statuses: &[CellStatus]) -> String {
    match statuses.iter().filter(|status| **status == CellStatus::Failed).count() {
        0 => "all cells are done; `dtr report` writes the tables".to_owned(),
        count => format!("nothing can run; failed cells: {count} (`--retry-failed` runs them again)"),
    }
}
