//! Experiments as jobs of a real Slurm.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::project::{Project, WITH_CHECKPOINTS, files_below, wait_until};
use crate::skipped::report_skipped;
use crate::slurm_cluster::SlurmCluster;

/// Clusters share the names of their nodes, so one runs at a time.
static ONE_CLUSTER: Mutex<()> = Mutex::new(());

fn cluster() -> Option<(SlurmCluster, MutexGuard<'static, ()>)> {
    let guard = ONE_CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = SlurmCluster::start();
    if cluster.is_none() {
        report_skipped("Slurm is not installed, or its daemons cannot be started");
    }
    Some((cluster?, guard))
}

fn submit(cluster: &SlurmCluster, project: &Project, workers: &str) {
    cluster.serve(project.command("submit").args(["--workers", workers])).success();
}

/// Returns the logs of all jobs.
fn logs(project: &Project) -> String {
    let files = files_below(&project.results().join("jobs-v1")).into_iter();
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn two_nodes_give_the_bytes_of_one_process() {
    let Some((cluster, _guard)) = cluster() else { return };
    let (alone, project) = (Project::finished(&[]), Project::new());
    submit(&cluster, &project, "2");
    cluster.wait_for_jobs();
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
    project.command("verify").args(["--sample", "0"]).success();
    // Everything is done, so a second submission has nothing to do.
    cluster.serve(project.command("submit")).success().stdout_contains("all cells are done");
}

#[test]
fn a_job_that_gets_sigterm_writes_a_checkpoint_and_starts_again() {
    let Some((cluster, _guard)) = cluster() else { return };
    let (alone, project) = (Project::finished(WITH_CHECKPOINTS), Project::with_settings(WITH_CHECKPOINTS));
    submit(&cluster, &project, "1");
    let state = || cluster.query("squeue", &["--noheader", "--jobs=1", "--Format=State:20,RestartCnt:20"]);
    wait_until("the start of the distillation", || project.num_started("distil") > 0);
    // A preemption or a time limit sends the same signal to the step of the job.
    cluster.query("scancel", &["--signal=TERM", "1"]);
    wait_until("the restart", || state().split_whitespace().last() == Some("1"));
    cluster.wait_for_jobs();
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
}
