//! The jobs of Slurm, as its environment variables and `squeue` describe them.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest time that `squeue` may take. It waits for minutes if the controller does not answer.
const MAX_QUERY_TIME: Duration = Duration::from_secs(20);

/// The fields of `squeue --Format`, and the width of each column.
const FIELDS: [(&str, usize); 8] = [
    ("JobID", 24),
    ("ArrayJobID", 24),
    ("ArrayTaskID", 24),
    ("State", 16),
    ("RestartCnt", 12),
    ("NodeList", 64),
    ("Reason", 64),
    ("Name", 128),
];

/// The run of a job in which a process is. A job that Slurm requeues has another run with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlurmRun {
    /// The id of the job, as in `SLURM_JOB_ID`.
    pub job: u64,
    /// How often Slurm has started the job again.
    #[serde(default)]
    pub restarts: u64,
    /// The name of the cluster, if Slurm reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl SlurmRun {
    /// Returns the run of this process. Returns `None` outside of Slurm.
    pub fn current() -> Option<Self> {
        let number = |name| std::env::var(name).ok()?.parse().ok();
        Some(Self {
            job: number("SLURM_JOB_ID")?,
            restarts: number("SLURM_RESTART_COUNT").unwrap_or_default(),
            cluster: std::env::var("SLURM_CLUSTER_NAME").ok(),
        })
    }

    /// Returns whether the run may be on the same cluster as `other`. A process outside of Slurm does not know
    /// its cluster.
    pub fn may_be_on_cluster_of(&self, other: Option<&Self>) -> bool {
        let other = other.and_then(|other| other.cluster.as_ref());
        other.is_none_or(|other| self.cluster.as_ref().is_none_or(|own| own == other))
    }

    /// Returns whether the run has ended, given the jobs of `queue`. A job that waits in the queue has ended
    /// its earlier runs.
    pub fn has_ended(&self, queue: &[QueuedJob]) -> bool {
        let is_active = |job: &QueuedJob| job.restarts == self.restarts && !job.is_pending();
        !queue.iter().any(|job| job.id == self.job && is_active(job))
    }
}

/// A job that `squeue` lists. Each task of an array is a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueuedJob {
    /// The id of the job, as in `SLURM_JOB_ID`.
    pub id: u64,
    /// The id as users write it: `ARRAY_TASK` for the task of an array.
    pub label: String,
    /// The state, such as `RUNNING`.
    pub state: String,
    /// How often Slurm has started the job again.
    pub restarts: u64,
    /// The hosts of the job. Empty if the job waits.
    pub nodes: String,
    /// The reason why the job waits.
    pub reason: String,
    /// The name of the job.
    pub name: String,
}

impl QueuedJob {
    /// Returns whether the job waits for its start.
    pub fn is_pending(&self) -> bool {
        self.state == "PENDING"
    }

    /// Parses a line of `squeue`.
    fn parse(line: &str) -> Option<Self> {
        let mut rest = line;
        let mut fields = FIELDS.iter().map(|(_, width)| {
            let end = rest.char_indices().nth(*width).map_or(rest.len(), |(index, _)| index);
            let (field, after) = rest.split_at(end);
            rest = after;
            field.trim()
        });
        let id = fields.next()?.parse().ok()?;
        let (array, task) = (fields.next()?, fields.next()?);
        let label = match task.parse::<u64>() {
            Ok(task) => format!("{array}_{task}"),
            Err(_) => format!("{id}"),
        };
        let mut text = || fields.next().unwrap_or_default().to_owned();
        let (state, restarts) = (text(), text());
        let (nodes, reason, name) = (text(), text(), text());
        Some(Self { id, label, state, restarts: restarts.parse().unwrap_or_default(), nodes, reason, name })
    }
}

/// Lists the jobs that wait or run, by one call of `squeue`. Returns `None` if there is no Slurm, or if it
/// does not answer.
pub fn list_jobs() -> Option<Vec<QueuedJob>> {
    let format = FIELDS.map(|(name, width)| format!("{name}:{width}")).join(",");
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--Format", &format]).stdin(Stdio::null());
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(command.output()));
    let output = receiver.recv_timeout(MAX_QUERY_TIME).ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().filter_map(QueuedJob::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a line in the format that `list_jobs` asks for.
    fn line(values: [&str; 8]) -> String {
        FIELDS.iter().zip(values).map(|((_, width), value)| format!("{value:<width$}")).collect()
    }

    #[test]
    fn a_line_of_squeue_names_the_task_of_an_array_and_the_reason() {
        let running = line(["2", "1", "0", "RUNNING", "1", "n1", "None", "dtr search"]);
        let job = QueuedJob::parse(&running).unwrap();
        assert_eq!((job.id, &*job.label, job.restarts, &*job.nodes), (2, "1_0", 1, "n1"));
        assert_eq!(job.name, "dtr search");
        let waiting = line(["7", "7", "N/A", "PENDING", "0", "", "Resources", "dtr report"]);
        let job = QueuedJob::parse(&waiting).unwrap();
        assert!(job.is_pending() && job.label == "7" && job.reason == "Resources", "{job:?}");
        assert_eq!(QueuedJob::parse("slurm_load_jobs error"), None);
    }

    #[test]
    fn a_run_has_ended_once_its_job_is_gone_or_was_started_again() {
        let run = SlurmRun { job: 2, restarts: 1, cluster: None };
        let job = |state: &str, restarts: &str| {
            QueuedJob::parse(&line(["2", "1", "0", state, restarts, "", "None", "x"])).unwrap()
        };
        assert!(!run.has_ended(&[job("RUNNING", "1")]) && !run.has_ended(&[job("COMPLETING", "1")]));
        assert!(run.has_ended(&[]) && run.has_ended(&[job("RUNNING", "2")]));
        assert!(run.has_ended(&[job("PENDING", "1")]));
    }
}
