//! `dtr bench search`: what each saving of a search is worth on this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DeviceChoice, print_json};
use crate::bench::device::{self, Line};
use crate::bench::search::{Form, Measured};
use crate::bench::{Case, bundled, deep};
use crate::runner::{Progress, Stopper};
use dtr_core::error::{Error, Result};

/// Measure what this program saves.
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Run searches in four forms, each with the savings of those before it, and compare work, seconds and outcome.
    Search(Search),
    /// Time the pieces of distilling, scoring and decoding a base of Llama 3.1 8B's shape, as lines of JSON.
    Device(OnDevice),
}

#[derive(Args)]
struct OnDevice {
    #[command(flatten)]
    device: DeviceChoice,
    /// Layers of the base.
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    layers: usize,
}

#[derive(Args)]
struct Search {
    /// A base of the closed language.
    #[arg(long, value_name = "DIR", default_value = "models/mini")]
    base: PathBuf,
    /// Items of each of its tasks.
    #[arg(long, value_name = "COUNT", default_value_t = 128)]
    items: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) fn run(self) -> Result<u8> {
        match self.what {
            What::Search(search) => search.run(),
            What::Device(bench) => bench.run(),
        }
    }
}

impl OnDevice {
    fn run(self) -> Result<u8> {
        let progress = Progress::new(0, Stopper::listen()?);
        let task = progress.task("pieces", 60, "pieces");
        let mut tell = |line: &Line| println!("{}", serde_json::to_string(line).expect("it is plain JSON"));
        device::measure(self.device.device, self.layers, &task, &mut tell)?;
        Ok(0)
    }
}

impl Search {
    fn run(self) -> Result<u8> {
        let progress = Progress::new(0, Stopper::listen()?);
        let task = progress.task("twins of the base", 31_744, "tokens");
        let mut cases = bundled(&self.base, self.items, &task)?;
        drop(task);
        cases.push(deep()?);
        let mut all = Vec::new();
        for case in &cases {
            let lines = measure(case, &progress)?;
            if self.json {
                all.push(serde_json::json!({ "case": case.name, "forms": lines }));
            } else {
                print(case, &lines);
            }
        }
        progress.finish();
        if self.json {
            print_json(&all);
        }
        Ok(0)
    }
}

fn measure(case: &Case, progress: &Progress) -> Result<Vec<Measured>> {
    let mut lines: Vec<Measured> = Vec::new();
    for form in Form::ALL {
        progress.say(&format!("{}: {}", case.name, name(form)));
        lines.push(case.measure(form)?);
        if !lines[lines.len() - 1].agrees_with(&lines[0]) {
            return Err(Error::failed(format!(
                "on `{}` the search found something else {}",
                case.name,
                name(form)
            )));
        }
    }
    Ok(lines)
}

fn print(case: &Case, lines: &[Measured]) {
    println!("{:<28} {:>15} {:>6} {:>9} {:>6}", case.name, "tokens x layers", "", "seconds", "");
    for line in lines {
        let (work, seconds) = (lines[0].work as f64 / line.work as f64, lines[0].seconds / line.seconds);
        println!(
            "  {:<26} {:>15} {:>5.1}x {:>9.2} {:>5.1}x",
            name(line.form),
            line.work,
            work,
            line.seconds,
            seconds
        );
    }
}

fn name(form: Form) -> &'static str {
    match form {
        Form::Plain => "plain",
        Form::Prefix => "+ shared prefixes",
        Form::Dropping => "+ dropped candidates",
        Form::Sharing => "+ shared prompts",
    }
}
