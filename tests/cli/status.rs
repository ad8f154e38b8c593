//! `dtr status` and `dtr show KEY --log` show what an experiment does, whichever host works on it.

use std::fs;

use dtr_core::system_info::ProcessIdentity;
use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::fake_slurm::FakeSlurm;
use crate::project::{ONE_SEARCH, Project, wait_until};

/// Returns the cells that have a status.
fn cells_with(status: &Value, name: &str) -> Vec<Value> {
    status["cells"].as_array().unwrap().iter().filter(|cell| cell["status"] == name).cloned().collect()
}

/// Returns the name of the jobs of a part of a project, as `dtr submit` gives it.
fn job_name(project: &Project, part: &str) -> String {
    let text = project.command("submit").arg("--print").success().stdout();
    let names = text.split("--job-name=").skip(1).map(|rest| rest.split(' ').next().unwrap());
    names.into_iter().find(|name| name.contains(part)).unwrap().to_owned()
}

/// Writes a lease of the distillation of a project that holds nothing yet.
fn write_lease(project: &Project, holder: &Value, job: Option<u64>) {
    let plan = project.plan().json();
    let cell = plan["cells"].as_array().unwrap().iter().find(|cell| cell["stage"] == "distil").unwrap();
    let path = project.cell_folder("distil", cell["key"].as_str().unwrap()).with_extension("lease");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut lease = json!({ "holder": holder, "attempt": "00000000000000aa" });
    if let Some(job) = job {
        lease["slurm"] = json!({ "job": job, "restarts": 0 });
    }
    fs::write(path, lease.to_string()).unwrap();
}

fn remote_holder() -> Value {
    json!({ "host": "node7", "kernel": "other", "process": 42 })
}

#[test]
fn a_running_cell_shows_its_progress_and_its_log() {
    let project = Project::with_settings(&[ONE_SEARCH, &[r#"pretrain.token-budget="64M""#]].concat());
    let sweep = project.sweep().start();
    let mut running = Value::Null;
    wait_until("the progress of a cell", || {
        running = cells_with(&project.command("status").json(), "running").pop().unwrap_or_default();
        running["progress"].is_object()
    });
    assert_eq!(running["stage"], "pretrain");
    assert_eq!(running["host"], ProcessIdentity::current().host.as_str());
    assert_eq!(running["progress"]["unit"], "tokens");
    assert!(running["per-second"].as_f64().unwrap() > 0.0, "{running}");
    let text = project.command("status").without_env("SLURM_JOB_ID").success().stdout();
    for part in ["running  ", "pretrain tiny", "last heartbeat", " of 64000000 tokens (", "Z  started"] {
        assert!(text.contains(part), "{text}");
    }
    let key = running["key"].as_str().unwrap();
    let show = DtrCommand::new("show").arg(key).arg("--log").arg("--results").arg(project.results());
    let log = show.success().stdout();
    assert!(log.lines().count() == 2 && log.contains("  started\n") && log.contains(" tokens ("), "{log}");
    sweep.interrupt();
    sweep.finish().assert_code(130);
    assert!(cells_with(&project.command("status").json(), "running").is_empty());
}

#[test]
fn one_call_of_squeue_tells_which_jobs_wait_and_whose_job_has_ended() {
    let (project, slurm) = (Project::with_settings(ONE_SEARCH), FakeSlurm::new(&[]));
    let (distil, search) = (job_name(&project, "-distil-"), job_name(&project, "-search-"));
    write_lease(&project, &remote_holder(), Some(7));
    let status = || slurm.serve(project.command("status"));
    slurm.set_queue(&[
        (7, "RUNNING", "None", &distil),
        (8, "PENDING", "Dependency", &search),
        (9, "PENDING", "Priority", "of-somebody-else"),
    ]);
    let json = status().json();
    assert_eq!(slurm.num_queries(), 1);
    let running = cells_with(&json, "running");
    assert_eq!((&running[0]["host"], &running[0]["job"]), (&json!("node7"), &json!(7)));
    assert_eq!(json["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(json["jobs"][1]["reason"], "Dependency");
    let text = status().success().stdout();
    for part in ["on node7, process 42, job 7;", "queued   search-tiny: job 8; reason Dependency"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("somebody"), "{text}");

    slurm.set_queue(&[]);
    let json = status().json();
    assert_eq!(cells_with(&json, "stale").len(), 1, "{json}");
    assert_eq!(json["stages"][1]["running"], 0);
    assert!(status().success().stdout().contains("\nstale    "));
}

#[test]
fn without_slurm_the_status_shows_leases_and_only_a_dead_process_of_this_host_is_stale() {
    let project = Project::with_settings(ONE_SEARCH);
    let status = || project.command("status").env("PATH", "/nowhere");
    write_lease(&project, &remote_holder(), None);
    let text = status().success().stdout();
    assert!(text.contains("on node7, process 42; last heartbeat"), "{text}");
    assert!(text.contains("by the file's time stamp") && !text.contains("squeue"), "{text}");
    write_lease(&project, &remote_holder(), Some(7));
    let text = status().success().stdout();
    assert!(text.contains("job 7;") && text.contains("`squeue` does not answer"), "{text}");
    assert_eq!(status().json()["jobs"], Value::Null);
    // No process has the largest id.
    let dead = ProcessIdentity { process: i32::MAX as u32, ..ProcessIdentity::current().clone() };
    write_lease(&project, &json!(dead), None);
    assert_eq!(cells_with(&status().json(), "stale").len(), 1);
}

#[test]
fn a_failed_cell_shows_its_cause_on_one_line() {
    let project = Project::with_settings(&[ONE_SEARCH, &["distil.optimizer.learning-rate=10"]].concat());
    project.sweep().exit(1);
    let failed = cells_with(&project.command("status").json(), "failed");
    assert_eq!(failed.len(), 1);
    let error = failed[0]["error"].as_str().unwrap();
    let text = project.command("status").success().stdout();
    let lines: Vec<&str> = text.lines().collect();
    let title = lines.iter().position(|line| line.starts_with("failed   ")).unwrap();
    assert_eq!(lines[title + 1].trim(), error.lines().next().unwrap());
    assert_eq!(lines.len(), title + 2, "{text}");
}

#[test]
fn a_watched_experiment_is_shown_until_all_cells_are_done() {
    let text = Project::finished(ONE_SEARCH).command("status").arg("--watch").success().stdout();
    let counts = text.lines().find(|line| line.starts_with("search ")).unwrap();
    let counts: Vec<&str> = counts.split_whitespace().collect();
    assert_eq!(counts, ["search", "1", "0", "0", "0"]);
}
