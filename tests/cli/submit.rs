//! `dtr submit` with programs in place of `sbatch` and `squeue` that record their arguments.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::fake_slurm::FakeSlurm;
use crate::project::{ONE_SEARCH, Project, files_below};

fn submit(slurm: &FakeSlurm, project: &Project, options: &[&str]) -> String {
    slurm.serve(project.command("submit").args(options.iter().copied())).success().stdout()
}

/// Returns the files of the submissions with the name `name`.
fn submitted_files(project: &Project, name: &str) -> Vec<PathBuf> {
    files_below(&project.results().join("jobs-v1")).into_iter().filter(|path| path.ends_with(name)).collect()
}

#[test]
fn a_base_gets_a_job_for_distillation_and_an_array_of_workers() {
    let (slurm, project) = (FakeSlurm::new(&[]), Project::new());
    let text = submit(&slurm, &project, &["--workers", "3", "--time", "1:00:00", "--", "--mem=4G"]);
    let calls = slurm.calls();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(!calls[0].contains("--array") && !calls[0].contains("--dependency"), "{}", calls[0]);
    assert!(calls[0].contains("--only pretrain:tiny --only distil:tiny"), "{}", calls[0]);
    // Two variants and two tasks make four searches.
    assert!(calls[1].contains("--array=0-2") && calls[1].contains("--only search:tiny"), "{}", calls[1]);
    assert!(calls[1].contains("--dependency=afterany:1000 "), "{}", calls[1]);
    assert!(calls[2].contains("job.sh report ") && calls[2].contains("--dependency=afterany:1000:1001 "));
    for call in &calls {
        assert!(call.contains("--time=1:00:00") && call.contains("--mem=4G"), "{call}");
        assert!(call.contains("--signal=TERM@180") && call.contains("--requeue"), "{call}");
    }
    assert!(text.contains("1001") && text.contains("3 tasks"), "{text}");
    let description = fs::read(submitted_files(&project, "submission.json").remove(0)).unwrap();
    let description: Value = serde_json::from_slice(&description).unwrap();
    assert_eq!(description["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(submitted_files(&project, "job.sh").len(), 1);
}

#[test]
fn a_base_waits_for_the_base_that_it_is_fine_tuned_from() {
    let tuned = r#"models.tuned.source={ finetuned = { model = "tiny", task = "recall" } }"#;
    let settings = [tuned, r#"sweep.model=["tiny", "tuned"]"#, r#"sweep.variant=["gla"]"#];
    let (slurm, project) = (FakeSlurm::new(&[]), Project::with_settings(&settings));
    submit(&slurm, &project, &[]);
    let calls = slurm.calls();
    let call = calls.iter().find(|call| call.contains("--only finetune-base:tuned")).unwrap();
    // The first job trains `tiny`.
    assert!(calls[0].contains("--only pretrain:tiny"), "{}", calls[0]);
    assert!(call.contains("--only distil:tuned") && call.contains("--dependency=afterany:1000 "), "{call}");
}

#[test]
fn submitting_again_adds_only_workers_that_are_missing() {
    let project = Project::new();
    let first = FakeSlurm::new(&[]);
    submit(&first, &project, &["--workers", "4"]);
    let name_of =
        |call: &str| call.split("--job-name=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let names: Vec<String> = first.calls().iter().map(|call| name_of(call)).collect();
    // The distillation and three of the four workers are still in the queue.
    let queue = [(1, &*names[0]), (2, &*names[1]), (3, &*names[1]), (4, &*names[1])];
    let second = FakeSlurm::new(&queue);
    submit(&second, &project, &["--workers", "4"]);
    let calls = second.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(!calls[0].contains("--array") && calls[0].contains("--only search:tiny"), "{}", calls[0]);
    assert!(calls[0].contains("--dependency=afterany:1 "), "{}", calls[0]);
    assert!(calls[1].contains("--dependency=afterany:1:2:3:4:1000 "), "{}", calls[1]);
    let enough = FakeSlurm::new(&[
        (1, &*names[0]),
        (2, &*names[1]),
        (3, &*names[1]),
        (4, &*names[1]),
        (5, &*names[1]),
    ]);
    assert!(submit(&enough, &project, &["--workers", "4"]).contains("are enough"));
    assert!(enough.calls().is_empty());
}

#[test]
fn nothing_is_submitted_if_all_cells_are_done() {
    let (slurm, project) = (FakeSlurm::new(&[]), Project::finished(ONE_SEARCH));
    assert!(submit(&slurm, project, &[]).contains("all cells are done"));
    assert!(slurm.calls().is_empty());
}

#[test]
fn cells_that_failed_or_wait_for_a_failed_cell_are_submitted_on_request_only() {
    let learning_rate = r#"distil.optimizer.learning-rate=10"#;
    let (slurm, project) =
        (FakeSlurm::new(&[]), Project::with_settings(&[ONE_SEARCH, &[learning_rate]].concat()));
    project.sweep().exit(1);
    assert!(submit(&slurm, &project, &[]).contains("failed cells: 1 "));
    assert!(slurm.calls().is_empty());
    submit(&slurm, &project, &["--retry-failed"]);
    // The distillation, the search that waits for it, and the report.
    assert_eq!(slurm.calls().len(), 3);
}

#[test]
fn the_jobs_are_printed_without_slurm_and_nothing_is_written() {
    let project = Project::new();
    let command = project.command("submit").args(["--print", "--gpus", "2"]).set("sweep.variant=[\"gla\"]");
    let text = command.success().stdout();
    assert!(text.contains("srun") && text.contains("scontrol requeue"), "{text}");
    assert!(text.contains("--gres=gpu:2") && text.contains("--only distil:tiny"), "{text}");
    assert!(text.contains("--set 'sweep.variant=[\"gla\"]'"), "{text}");
    assert!(!project.results().exists());
    let refused = project.command("submit").env("PATH", "/nowhere").exit(5);
    assert!(refused.message().contains("squeue"), "{}", refused.message());
}

#[test]
fn a_job_that_slurm_refuses_ends_the_submission_with_its_reason() {
    let (slurm, project) = (FakeSlurm::new(&[]), Project::new());
    slurm.write("sbatch", "echo 'invalid partition specified: x' >&2; exit 1");
    let refused = slurm.serve(project.command("submit").args(["--partition", "x"])).exit(5);
    assert!(refused.message().contains("invalid partition"), "{}", refused.message());
}
