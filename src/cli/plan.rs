//! `dtr plan`: lists the cells of an experiment, with the reason why each cell would run. Estimates the
//! resources that the cells need.

use std::path::PathBuf;

use clap::Args;

use super::{
    DEFAULT_RESULTS, DeviceArgs, ExperimentArgs, ResultsArgs, SandboxArgs, WorkersArgs, print_json,
    print_notes,
};
use crate::data::Task;
use crate::plan::{
    CellStatus, Plan, PlanEstimate, RunReason, WorkerPlan, can_run_in_parallel, cell_statuses,
};
use crate::stages::{Cell, STAGES, ScoreJob, SearchJob};
use crate::store::StageName;
use dtr_core::error::Result;
use dtr_core::files::format_bytes;

/// List the cells of an experiment, the reason why each cell would run, and an estimate of the resources.
#[derive(Args)]
pub struct PlanCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    workers: WorkersArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PlanCommand {
    /// Creates the command for a manifest, without `--set` and with the default results folder.
    pub(super) fn new(manifest: PathBuf, device: DeviceArgs) -> Self {
        let results = ResultsArgs { results: PathBuf::from(DEFAULT_RESULTS) };
        let experiment = ExperimentArgs { manifest, sets: Vec::new(), results };
        let (workers, sandbox) = (WorkersArgs::default(), SandboxArgs::default());
        Self { experiment, device, workers, sandbox, json: false }
    }

    pub(super) fn run(self) -> Result<u8> {
        let plan = self.plan()?;
        self.print(&plan)?;
        self.print_sandbox_note(&plan);
        Ok(0)
    }

    pub(super) fn plan(&self) -> Result<Plan> {
        self.experiment.plan_on(&self.device)
    }

    /// Prints a note if programs or scripts score the answers of a task, and no Python interpreter can run them.
    fn print_sandbox_note(&self, plan: &Plan) {
        let needs_python =
            |task: &Task| task.generative().is_some_and(|task| task.code.is_some() || task.script.is_some());
        let runs_programs = |cell: &Cell| {
            let searched = cell.downcast_job::<SearchJob>().map(|job| &job.task);
            searched.or(cell.downcast_job::<ScoreJob>().map(|job| &job.task)).is_some_and(needs_python)
        };
        if plan.cells.iter().any(runs_programs)
            && let Err(error) = self.sandbox.options().inspect_python()
        {
            eprintln!("tasks whose answers are scored in Python will fail: {}", error.to_line());
        }
    }

    /// Prints the cells of the plan, and an estimate of the resources that these cells need.
    pub(super) fn print(&self, plan: &Plan) -> Result<()> {
        print_notes(plan);
        let store = self.experiment.results.store()?;
        let statuses = cell_statuses(plan, &store)?;
        let rows: Vec<_> = plan.cells.iter().zip(&statuses).collect();
        let is_to_do = |cell: &Cell| {
            rows.iter().any(|(row, (status, _))| row.key() == cell.key() && *status != CellStatus::Done)
        };
        let estimate = PlanEstimate::new(plan, is_to_do)?;
        let workers = self.plan_workers(plan.cells.iter().filter(|cell| is_to_do(cell)).collect())?;
        if self.json {
            let cells: Vec<_> =
                rows.iter().map(|(cell, (status, reason))| json(cell, *status, reason.as_ref())).collect();
            print_json(&serde_json::json!({ "cells": cells, "to-do": estimate, "workers": workers }));
            return Ok(());
        }
        for (cell, (status, reason)) in &rows {
            println!("{:<8} {}  {}", status_text(*status), cell.key().short(), cell.to_line());
            if let Some(reason) = reason {
                println!("         {}", reason.to_line());
            }
        }
        print_estimate(&estimate);
        workers.iter().for_each(print_workers);
        Ok(())
    }

    /// Plans the workers that would run the cells of `to_do` in parallel: their number and their memory.
    /// Returns `None` if no cell can run in parallel.
    fn plan_workers(&self, mut to_do: Vec<&Cell>) -> Result<Option<WorkerPlan>> {
        to_do.retain(|cell| can_run_in_parallel(cell.stage()));
        if to_do.is_empty() {
            return Ok(None);
        }
        let memory_limit = self.device.device.available_bytes();
        WorkerPlan::new(&to_do, self.workers.options(&self.device), memory_limit).map(Some)
    }
}

fn print_estimate(estimate: &PlanEstimate) {
    let stages = || STAGES.iter().map(|stage| &stage.name);
    let count = |stage: &StageName| Some(format!("{} {stage}", estimate.cells.get(stage)?));
    let counts: Vec<String> = stages().filter_map(count).collect();
    if counts.is_empty() {
        return;
    }
    println!("\nto do        {}", counts.join(", "));
    if estimate.max_evaluations > 0 {
        println!("evaluations  {} at most", estimate.max_evaluations);
    }
    if estimate.max_generated_tokens > 0 {
        println!("generated    {} tokens at most", group_digits(estimate.max_generated_tokens));
    }
    for (stage, tokens) in stages().filter_map(|stage| Some((stage, estimate.tokens.get(stage)?))) {
        println!("{stage:<12} {} tokens", group_digits(*tokens));
    }
    if estimate.download_bytes > 0 || estimate.download_files > 0 {
        let files = match estimate.download_files {
            0 => String::new(),
            count => format!(", and {count} data files"),
        };
        println!("download     {} of weights{files}", format_bytes(estimate.download_bytes));
    }
    for (model, bytes) in &estimate.memory {
        let part = |stage| Some(format!("{} for {stage}", format_bytes(*bytes.get(stage)?)));
        let parts: Vec<String> = stages().filter_map(part).collect();
        println!("memory       {model}: {}, without temporary tensors", parts.join(", "));
    }
    for repository in &estimate.unpinned {
        println!("unpinned     {repository}: the hub is not reachable, so its commit is unknown");
    }
    for model in &estimate.unknown {
        println!(
            "unknown      {model}: its shape is unknown before the download; set `config` beside `repo`"
        );
    }
}

fn print_workers(workers: &WorkerPlan) {
    let mut parts = vec![workers.count.to_string()];
    parts.extend(workers.peak_bytes.map(|bytes| format!("each of about {}", format_bytes(bytes))));
    parts.extend(workers.memory_limit.map(|bytes| format!("{} free for each", format_bytes(bytes))));
    println!("workers      {}", parts.join(", "));
}

/// Returns a number with a comma after each group of three digits.
pub(super) fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|part| str::from_utf8(part).expect("digits are ASCII"))
        .collect();
    parts.join(",")
}

fn status_text(status: CellStatus) -> &'static str {
    match status {
        CellStatus::Done => "done",
        CellStatus::Running => "running",
        CellStatus::Failed => "failed",
        CellStatus::Missing => "to do",
    }
}

fn json(cell: &Cell, status: CellStatus, reason: Option<&RunReason>) -> serde_json::Value {
    serde_json::json!({
        "stage": cell.stage(),
        "key": cell.key(),
        "labels": cell.labels,
        "status": status,
        "reason": reason,
        "inputs": cell.inputs(),
    })
}
