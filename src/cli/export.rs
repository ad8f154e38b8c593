//! `dtr export`: writes a hybrid of a finished search to a directory in the Hugging Face format, or to a GGUF
//! file.

use std::path::PathBuf;

use clap::Args;

use super::{ExperimentArgs, print_json};
use crate::export::{Export, ExportDtype, ExportFormat, HybridSelector, SearchSelector, TrainingKind};
use dtr_core::error::{ErrorKind, Result};
use dtr_model::Constraint;

/// Write a hybrid of a finished search to a directory in the Hugging Face format, or to a GGUF file
///
/// Reads finished cells and runs none. `--model`, `--variant`, `--task` and `--axis` select the search. They
/// are necessary only if the sweep has several searches.
#[derive(Args)]
pub struct ExportCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Directory to create, or a file to create with `--format gguf`
    #[arg(required_unless_present = "check")]
    directory: Option<PathBuf>,
    /// Name of the base in the manifest
    #[arg(long)]
    model: Option<String>,
    /// Name of the variant in the manifest
    #[arg(long)]
    variant: Option<String>,
    /// Name of the task in the manifest
    #[arg(long)]
    task: Option<String>,
    /// Value of another sweep axis, such as `distil.token-budget=64k`; may be repeated
    #[arg(long = "axis", value_name = "KEY=VALUE", value_parser = parse_axis)]
    axes: Vec<(String, String)>,
    /// Which of the two hybrids of the search to export
    #[arg(long, value_enum, default_value_t = HybridSelector::Opt)]
    which: HybridSelector,
    /// Export a hybrid that was trained after its search: `hybrid=opt`, `hybrid=best`, or `replaced=` and a
    /// number of layers, as in `logit-distil.hybrids` and `finetune.hybrids`
    #[arg(long, value_name = "HYBRID", conflicts_with = "which")]
    tuned: Option<String>,
    /// Training after which to export the hybrid of `--tuned`; the default is the last one
    #[arg(long, value_enum, requires = "tuned")]
    after: Option<TrainingKind>,
    /// Format of the directory
    #[arg(long, value_enum, default_value_t = ExportFormat::Transformers)]
    format: ExportFormat,
    /// Round weights to this dtype; the default keeps the dtype of every tensor
    #[arg(long, value_enum)]
    dtype: Option<ExportDtype>,
    /// List the conditions of the format that the hybrid does not meet, and write nothing
    ///
    /// The conditions depend on the base and the variant, so the search need not be done. The exit code is 2
    /// if a condition fails.
    #[arg(long, conflicts_with = "directory")]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_axis(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ExportCommand {
    pub(super) fn run(self) -> Result<u8> {
        let (plan, store) = (self.experiment.plan()?, self.experiment.results.store()?);
        let selector = SearchSelector {
            model: self.model,
            variant: self.variant,
            task: self.task,
            axes: self.axes.into_iter().collect(),
            hybrid: self.which,
            tuned: self.tuned,
            training: self.after,
        };
        let export = Export {
            plan: &plan,
            store: &store,
            selector: &selector,
            format: self.format,
            dtype: self.dtype,
            sweep_command: self.experiment.sweep_command(),
        };
        let Some(directory) = self.directory.filter(|_| !self.check) else {
            return Ok(print_constraints(self.format, &export.constraints()?, self.json));
        };
        let layers = export.write(&directory)?;
        if self.json {
            print_json(&serde_json::json!({ "directory": directory, "layers": layers }));
            return Ok(0);
        }
        match layers.len() {
            0 => eprintln!("no layer is replaced: this is the base"),
            1 => eprintln!("1 layer is replaced: {}", layers[0]),
            many => eprintln!("{many} layers are replaced: {layers:?}"),
        }
        println!("{}", directory.display());
        Ok(0)
    }
}

/// Prints the conditions that fail, or all conditions as JSON. Returns the exit code.
fn print_constraints(format: ExportFormat, constraints: &[Constraint], is_json: bool) -> u8 {
    let name = format.hybrid_format().name();
    let failed: Vec<&Constraint> = constraints.iter().filter(|one| !one.is_met).collect();
    if is_json {
        print_json(&serde_json::json!({
            "format": name,
            "is_met": failed.is_empty(),
            "constraints": constraints,
        }));
    } else if failed.is_empty() {
        println!("`{name}` can express the hybrid: all of its {} conditions hold", constraints.len());
    } else {
        println!("`{name}` cannot express the hybrid:");
        failed.iter().for_each(|one| println!("  {}", one.to_line()));
    }
    if failed.is_empty() { 0 } else { ErrorKind::Manifest.exit_code() }
}
