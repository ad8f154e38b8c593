//! The jobs of Slurm that belong to an experiment.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::cells::CellReport;
use crate::cli::ResultsArgs;
use crate::cli::submit::job_name_prefix;
use crate::plan::Plan;
use crate::slurm::{QueuedJob, SlurmRun, list_jobs};
use dtr_core::error::Result;

/// The shortest time between two calls of `squeue`, unless a run of a job appears that the last answer lacks.
const QUERY_INTERVAL: Duration = Duration::from_secs(30);

/// A job of the experiment that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct JobReport {
    #[serde(flatten)]
    pub(super) job: QueuedJob,
    /// The name without the part that is common to all jobs of the experiment, such as `search-mini`.
    pub(super) part: String,
}

/// The queue of Slurm, and the names of an experiment's jobs.
pub(super) struct Jobs {
    name_prefix: String,
    /// The time of the last call of `squeue`, and its answer.
    answer: Option<(Instant, Option<Vec<QueuedJob>>)>,
    /// The runs of leases that the last answer lacks. They have ended.
    ended: Vec<SlurmRun>,
}

impl ResultsArgs {
    /// Returns the jobs that `dtr submit` names after the experiment.
    pub(super) fn jobs_of(&self, plan: &Plan) -> Result<Jobs> {
        Ok(Jobs { name_prefix: job_name_prefix(&plan.name, &self.results)?, answer: None, ended: Vec::new() })
    }
}

impl Jobs {
    /// Calls `squeue` if its last answer is old, or if a cell runs in a job that started after the answer.
    pub(super) fn refresh(&mut self, cells: &[CellReport<'_>]) {
        let is_recent = self.answer.as_ref().is_some_and(|(at, _)| at.elapsed() < QUERY_INTERVAL);
        if !is_recent || self.find_ended(cells).iter().any(|run| !self.ended.contains(run)) {
            self.answer = Some((Instant::now(), list_jobs()));
            self.ended = self.find_ended(cells);
        }
    }

    /// Returns the runs that hold leases and that the last answer lacks.
    fn find_ended(&self, cells: &[CellReport<'_>]) -> Vec<SlurmRun> {
        let Some(queue) = self.queue() else { return Vec::new() };
        let runs = cells.iter().filter_map(|cell| cell.work()?.lease.as_ref()?.slurm.as_ref());
        runs.filter(|run| run.has_ended(queue)).cloned().collect()
    }

    /// Returns the jobs of all users, or `None` if `squeue` does not answer.
    pub(super) fn queue(&self) -> Option<&[QueuedJob]> {
        self.answer.as_ref()?.1.as_deref()
    }

    /// Returns the jobs of the experiment, or `None` if `squeue` does not answer.
    pub(super) fn of_experiment(&self) -> Option<Vec<JobReport>> {
        let report = |job: &QueuedJob| {
            let part = job.name.strip_prefix(&self.name_prefix)?.to_owned();
            Some(JobReport { job: job.clone(), part })
        };
        Some(self.queue()?.iter().filter_map(report).collect())
    }
}
