//! Experiments as jobs of a real Slurm.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::project::{Project, files_below, wait_until};
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

fn submit(cluster: &SlurmCluster, project: &Project, arguments: &[&str]) {
    cluster.serve(project.command("submit").args(arguments)).success();
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
    submit(&cluster, &project, &["--workers", "2"]);
    cluster.wait_for_jobs();
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
    project.command("verify").args(["--sample", "0"]).success();
    // Everything is done, so a second submission has nothing to do.
    cluster.serve(project.command("submit")).success().stdout_contains("all cells are done");
}

/// Settings of a distillation that takes longer than the starts and the stops of jobs.
const LONG_DISTILLATION: &[&str] = &[r#"distil.token-budget="256k""#];

/// Settings of searches that take several seconds.
const SLOW_SEARCHES: &[&str] =
    &["models.tiny.source.pretrain.num-layers=8", "tasks.recall.source.synthetic.validation-items=512"];

/// Asserts that a job resumed from a checkpoint, and that all results equal those of one process.
fn assert_resumed(project: &Project, settings: &[&str]) {
    let resumed = project.messages("distil").into_iter().any(|line| line.contains("resumes after step"));
    assert!(resumed, "no job resumed: {}", logs(project));
    let alone = Project::finished(settings);
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(project));
    project.command("verify").args(["--sample", "0"]).success();
}

fn wait_for_distillation(project: &Project) {
    wait_until("the start of the distillation", || project.num_started("distil") > 0);
}

#[test]
fn a_job_that_gets_sigterm_writes_a_checkpoint_and_starts_again() {
    let Some((cluster, _guard)) = cluster() else { return };
    let project = Project::with_settings(LONG_DISTILLATION);
    submit(&cluster, &project, &["--workers", "1"]);
    wait_for_distillation(&project);
    cluster.query("scancel", &["--signal=TERM", "1"]);
    wait_until("the restart", || cluster.state("1").1 == 1);
    cluster.wait_for_jobs();
    assert_resumed(&project, LONG_DISTILLATION);
}

#[test]
fn a_preempted_job_continues_from_its_checkpoint() {
    let Some((cluster, _guard)) = cluster() else { return };
    for partition in ["all", "grace"] {
        let project = Project::with_settings(LONG_DISTILLATION);
        submit(&cluster, &project, &["--workers", "1", "--partition", partition]);
        wait_for_distillation(&project);
        cluster.preempt();
        cluster.wait_for_jobs();
        assert_resumed(&project, LONG_DISTILLATION);
    }
}

#[test]
fn a_job_that_reaches_its_time_limit_continues_from_its_checkpoint() {
    let Some((cluster, _guard)) = cluster() else { return };
    let settings = &[r#"distil.token-budget="512k""#];
    let project = Project::with_settings(settings);
    // Slurm sends the signal up to a minute early.
    submit(&cluster, &project, &["--workers", "1", "--time", "1", "--", "--signal=TERM@15"]);
    cluster.wait_for_jobs();
    if cluster.state("1").1 == 0 {
        return report_skipped("the job ended before its time limit");
    }
    assert_resumed(&project, settings);
}

#[test]
fn the_job_of_a_node_that_dies_runs_on_another_node() {
    let Some((cluster, _guard)) = cluster() else { return };
    let project = Project::with_settings(LONG_DISTILLATION);
    submit(&cluster, &project, &["--workers", "1"]);
    wait_for_distillation(&project);
    let nodes = || cluster.query("squeue", &["--noheader", "--jobs=1", "--Format=NodeList:20"]);
    let node = nodes().trim().to_owned();
    cluster.kill_node(&node);
    cluster.wait_for_jobs();
    let (state, restarts) = cluster.state("1");
    assert_eq!((state.as_str(), restarts), ("COMPLETED", 1), "{}", logs(&project));
    let alone = Project::finished(LONG_DISTILLATION);
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
}

/// In Slurm, the id of an array's last task is also the id of the whole array.
#[test]
fn the_last_task_of_an_array_starts_again_alone() {
    let Some((cluster, _guard)) = cluster() else { return };
    let project = Project::with_settings(SLOW_SEARCHES);
    submit(&cluster, &project, &["--workers", "2"]);
    wait_until("the start of two searches", || project.num_started("search") == 2);
    cluster.query("scancel", &["--signal=TERM", "2_1"]);
    cluster.wait_for_jobs();
    let restarts = |task: &str| cluster.state(task).1;
    assert_eq!((restarts("2_0"), restarts("2_1")), (0, 1), "{}", logs(&project));
    let alone = Project::finished(SLOW_SEARCHES);
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
}

#[test]
fn a_failed_cell_leaves_the_other_jobs_running() {
    let Some((cluster, _guard)) = cluster() else { return };
    let learning_rates = r#"sweep.axes."distil.optimizer.learning-rate"=[10, 2e-3]"#;
    let [alone, project] = [(); 2].map(|()| Project::with_settings(&[learning_rates]));
    alone.sweep().exit(1);
    submit(&cluster, &project, &["--workers", "2"]);
    cluster.wait_for_jobs();
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
    let cells = |project: &Project| {
        let plan = project.plan().json();
        let state = |cell: &serde_json::Value| (cell["key"].to_string(), cell["status"].to_string());
        plan["cells"].as_array().unwrap().iter().map(state).collect::<Vec<_>>()
    };
    assert_eq!(cells(&project), cells(&alone));
    // A failed cell is submitted again on request only.
    cluster.serve(project.command("submit")).success().stdout_contains("failed cells: 2 ");
}

#[test]
fn a_submission_whose_jobs_were_cancelled_is_submitted_again() {
    let Some((cluster, _guard)) = cluster() else { return };
    let project = Project::with_settings(LONG_DISTILLATION);
    submit(&cluster, &project, &["--workers", "2"]);
    wait_for_distillation(&project);
    let jobs = || cluster.query("squeue", &["--noheader", "--array", "--Format=JobID:20"]);
    let before = jobs();
    submit(&cluster, &project, &["--workers", "2"]);
    assert_eq!(jobs(), before, "the jobs of the first submission are still there");
    cluster.query("scancel", &["--user=root"]);
    cluster.wait_for_jobs();
    submit(&cluster, &project, &["--workers", "2"]);
    cluster.wait_for_jobs();
    let alone = Project::finished(LONG_DISTILLATION);
    assert!(project.comparable_outputs() == alone.comparable_outputs(), "{}", logs(&project));
}
