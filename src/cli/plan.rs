//! `dtr plan`: the cells of an experiment, why each would run, and what they will cost.

use clap::Args;

use super::{DeviceChoice, Experiment, print_json};
use crate::plan::{Cell, Estimate, Memory, Reason, Status, plan_on, status};
use dtr_core::error::Result;
use dtr_core::files::format_bytes;

/// Show the cells of an experiment, why each would run, and what they will cost.
#[derive(Args)]
pub struct PlanCommand {
    #[command(flatten)]
    experiment: Experiment,
    #[command(flatten)]
    device: DeviceChoice,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PlanCommand {
    pub(super) fn run(self) -> Result<u8> {
        let loaded = self.experiment.load()?;
        let plan = plan_on(&loaded, &self.device.device.hardware_label())?;
        let store = self.experiment.results.store()?;
        let statuses = status(&plan, &store)?;
        let rows: Vec<_> = plan.cells.iter().zip(&statuses).collect();
        let is_to_do = |cell: &Cell| {
            rows.iter().any(|(one, (status, _))| one.key == cell.key && *status != Status::Done)
        };
        let estimate = Estimate::of(&plan, &loaded.manifest, is_to_do)?;
        if self.json {
            let cells: Vec<_> =
                rows.iter().map(|(cell, (status, reason))| json(cell, *status, reason.as_ref())).collect();
            print_json(&serde_json::json!({ "cells": cells, "to-do": estimate }));
            return Ok(0);
        }
        for (cell, (status, reason)) in &rows {
            println!("{:<8} {}  {}", word(*status), cell.key.short(), cell.line());
            if let Some(reason) = reason {
                println!("         {}", reason.line());
            }
        }
        tell(&estimate);
        Ok(0)
    }
}

/// Prints what is to be done, in numbers.
fn tell(estimate: &Estimate) {
    let cells: Vec<String> = estimate.cells.iter().map(|(stage, count)| format!("{count} {stage}")).collect();
    if cells.is_empty() {
        return;
    }
    println!("\nto do        {}", cells.join(", "));
    if estimate.evaluations_at_most > 0 {
        println!("evaluations  {} at most", estimate.evaluations_at_most);
    }
    if estimate.distil_tokens > 0 {
        println!("distil       {} tokens", grouped(estimate.distil_tokens));
    }
    if estimate.throughput_tokens > 0 {
        println!("throughput   {} tokens", grouped(estimate.throughput_tokens));
    }
    if estimate.download_bytes > 0 || estimate.download_files > 0 {
        let files = match estimate.download_files {
            0 => String::new(),
            count => format!(", and {count} files of rows and text"),
        };
        println!("download     {} of weights{files}", format_bytes(estimate.download_bytes));
    }
    for (model, Memory { distil_bytes, search_bytes, throughput_bytes }) in &estimate.memory {
        let parts = [(distil_bytes, "distil"), (search_bytes, "search"), (throughput_bytes, "time")];
        let parts = parts.iter().filter(|(bytes, _)| **bytes > 0);
        let parts: Vec<String> =
            parts.map(|(bytes, verb)| format!("{} to {verb}", format_bytes(**bytes))).collect();
        println!("memory       {model}: {}, and what a pass needs beside", parts.join(", "));
    }
    for repository in &estimate.unpinned {
        println!("unpinned     {repository}: its commit, before the hub can be asked");
    }
    for model in &estimate.unknown {
        println!(
            "unknown      {model}: its shape, before it is downloaded (name a `config` beside its `repo`)"
        );
    }
}

/// A number with its thousands parted.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|part| str::from_utf8(part).expect("digits are ASCII"))
        .collect();
    parts.join(",")
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Running => "running",
        Status::Failed => "failed",
        Status::Missing => "to do",
    }
}

fn json(cell: &Cell, status: Status, reason: Option<&Reason>) -> serde_json::Value {
    serde_json::json!({
        "stage": cell.stage,
        "key": cell.key,
        "labels": cell.labels,
        "status": status,
        "reason": reason,
        "inputs": cell.inputs,
    })
}
