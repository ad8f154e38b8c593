//! `dtr bench`: benchmarks of the search and of the device.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use dtr_core::error::{Error, Result};

use super::{DeviceArgs, print_json};
use crate::bench::device::{self, BenchModelShape, OperationMeasurement};
use crate::bench::search_optimisations::{SearchCost, SearchOptimisations};
use crate::bench::{SearchCase, bundled_base_cases, deep_base_case};
use crate::runner::{ProgressDisplay, UserRequests};

/// Run benchmarks on this machine.
#[derive(Args)]
pub struct BenchCommand {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Measure how much each optimisation of a search saves.
    ///
    /// Measures each search without optimisations, and then adds one optimisation after the other: cached
    /// hidden states, pruned candidates, shared prompts. Fails if an optimisation changes the outcome of a
    /// search.
    Search(SearchBenchmark),
    /// Time the operations of distillation, scoring and decoding for a base with a published shape.
    ///
    /// Prints one JSON object for each measurement. `bench/pytorch` times the same operations in PyTorch.
    Device(DeviceBenchmark),
}

#[derive(Args)]
struct DeviceBenchmark {
    #[command(flatten)]
    device: DeviceArgs,
    /// Shape of the base. Its weights are random.
    #[arg(long, value_enum, default_value = "llama-3.1-8b")]
    shape: BenchModelShape,
    /// Number of layers of the base. The default is the number of layers of the published shape.
    #[arg(long, value_name = "COUNT")]
    layers: Option<usize>,
}

#[derive(Args)]
struct SearchBenchmark {
    /// Directory of a base that was pretrained on the synthetic language.
    #[arg(long, value_name = "DIR", default_value = "models/mini")]
    base: PathBuf,
    /// Number of items of each task.
    #[arg(long, value_name = "COUNT", default_value_t = 128)]
    items: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl BenchCommand {
    pub(super) fn run(self) -> Result<u8> {
        match self.benchmark {
            Benchmark::Search(benchmark) => benchmark.run(),
            Benchmark::Device(benchmark) => benchmark.run(),
        }
    }
}

impl DeviceBenchmark {
    fn run(self) -> Result<u8> {
        let progress = ProgressDisplay::new(0, UserRequests::listen()?);
        let task = progress.start_task("operations", 60, "operations");
        let print = |line: &OperationMeasurement| {
            println!("{}", serde_json::to_string(line).expect("a measurement is plain JSON"))
        };
        device::measure_operations(self.device.device, self.shape, self.layers, &task, &print)?;
        Ok(0)
    }
}

impl SearchBenchmark {
    fn run(self) -> Result<u8> {
        let progress = ProgressDisplay::new(0, UserRequests::listen()?);
        let task = progress.start_task("twins of the base", 31_744, "tokens");
        let mut cases = bundled_base_cases(&self.base, self.items, &task)?;
        drop(task);
        cases.push(deep_base_case()?);
        let mut json = Vec::new();
        for case in &cases {
            let costs = measure_costs(case, &progress)?;
            if self.json {
                json.push(serde_json::json!({ "case": case.name, "runs": costs }));
            } else {
                print_table(case, &costs);
            }
        }
        progress.finish();
        if self.json {
            print_json(&json);
        }
        Ok(0)
    }
}

fn measure_costs(case: &SearchCase, progress: &ProgressDisplay) -> Result<Vec<SearchCost>> {
    let mut costs: Vec<SearchCost> = Vec::new();
    for optimisations in SearchOptimisations::ALL {
        progress.print_line(&format!("{}: {}", case.name, label(optimisations)));
        let cost = case.measure(optimisations)?;
        if costs.first().is_some_and(|first| !first.has_same_outcome(&cost)) {
            let message =
                format!("`{}` changes the outcome of the search `{}`", label(optimisations), case.name);
            return Err(Error::failed(message));
        }
        costs.push(cost);
    }
    Ok(costs)
}

fn print_table(case: &SearchCase, costs: &[SearchCost]) {
    println!("{:<28} {:>15} {:>6} {:>9} {:>6}", case.name, "tokens x layers", "", "seconds", "");
    for cost in costs {
        println!(
            "  {:<26} {:>15} {:>5.1}x {:>9.2} {:>5.1}x",
            label(cost.optimisations),
            cost.layer_tokens,
            costs[0].layer_tokens as f64 / cost.layer_tokens as f64,
            cost.seconds,
            costs[0].seconds / cost.seconds
        );
    }
}

fn label(optimisations: SearchOptimisations) -> &'static str {
    match optimisations {
        SearchOptimisations::None => "no optimisation",
        SearchOptimisations::HiddenStates => "+ cached hidden states",
        SearchOptimisations::Pruning => "+ pruned candidates",
        SearchOptimisations::Prompts => "+ shared prompts",
    }
}
