//! A job for `sbatch`.

use std::path::PathBuf;
use std::process::Command;

use serde::Serialize;

use dtr_core::error::{Error, Result};

/// A job, or an array of equal jobs, that runs the job script with some arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchJob {
    /// The name, by which `squeue` lists the job.
    pub name: String,
    /// The number of equal tasks. More than one makes an array.
    pub num_tasks: usize,
    /// Options of `sbatch`, without the name, the array, the dependency and the log.
    pub options: Vec<String>,
    /// The arguments of the job script.
    pub arguments: Vec<String>,
    /// The path of the script.
    pub script: PathBuf,
    /// The folder of the logs.
    pub logs: PathBuf,
}

impl BatchJob {
    /// Returns the arguments of `sbatch`. The job starts after the jobs of `after` have ended, whether they
    /// succeeded or not. (With `afterok`, a job would wait for ever after a failure.)
    pub fn sbatch_arguments(&self, after: &[String]) -> Vec<String> {
        let mut arguments = vec!["--parsable".to_owned(), format!("--job-name={}", self.name)];
        let log = match self.num_tasks {
            1 => "%j.log",
            num_tasks => {
                arguments.push(format!("--array=0-{}", num_tasks - 1));
                "%A_%a.log"
            }
        };
        arguments.push(format!("--output={}", self.logs.join(log).display()));
        if !after.is_empty() {
            arguments.push(format!("--dependency=afterany:{}", after.join(":")));
        }
        arguments.extend(self.options.iter().cloned());
        arguments.push(self.script.display().to_string());
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }

    /// Submits the job, and returns its id.
    ///
    /// # Errors
    /// Fails if `sbatch` cannot be started or refuses the job.
    pub fn submit(&self, after: &[String]) -> Result<String> {
        let output = Command::new("sbatch").args(self.sbatch_arguments(after)).output().map_err(|cause| {
            Error::environment("cannot start `sbatch`")
                .with_source(cause)
                .hint("run `dtr submit` on a node that submits to Slurm, or show the jobs with `--print`")
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        // With several clusters, `sbatch --parsable` prints `ID;CLUSTER`.
        let id = text.trim().split(';').next().unwrap_or_default();
        if !output.status.success() || id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::environment(format!("cannot submit the job `{}`: {reason}", self.name))
                .hint("add or change options of `sbatch` after `--`"));
        }
        Ok(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(num_tasks: usize) -> BatchJob {
        BatchJob {
            name: "dtr-table1-search".to_owned(),
            num_tasks,
            options: vec!["--time=4:00:00".to_owned()],
            arguments: vec!["sweep".to_owned()],
            script: PathBuf::from("jobs/job.sh"),
            logs: PathBuf::from("jobs/log"),
        }
    }

    #[test]
    fn several_tasks_are_an_array_whose_tasks_have_logs_of_their_own() {
        let arguments = job(3).sbatch_arguments(&["7".to_owned(), "9".to_owned()]);
        assert_eq!(
            arguments.join(" "),
            "--parsable --job-name=dtr-table1-search --array=0-2 --output=jobs/log/%A_%a.log \
             --dependency=afterany:7:9 --time=4:00:00 jobs/job.sh sweep"
        );
        assert_eq!(
            job(1).sbatch_arguments(&[]).join(" "),
            "--parsable --job-name=dtr-table1-search --output=jobs/log/%j.log --time=4:00:00 jobs/job.sh sweep"
        );
    }
}
