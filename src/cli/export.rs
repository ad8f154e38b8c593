//! `dtr export`: writes a hybrid of a finished search to a directory in the Hugging Face format.

use std::path::PathBuf;

use clap::Args;

use super::{ExperimentArgs, print_json};
use crate::export::{HybridSelector, SearchSelector, TrainingKind, export_hybrid};
use dtr_core::error::Result;

/// Write a hybrid of a finished search to a directory in the Hugging Face format
///
/// Reads finished cells and runs none. `--model`, `--variant`, `--task` and `--axis` select the search. They
/// are necessary only if the sweep has several searches.
#[derive(Args)]
pub struct ExportCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Directory to create
    directory: PathBuf,
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
        let command = self.experiment.sweep_command();
        let layers = export_hybrid(&plan, &store, &selector, &self.directory, &command)?;
        if self.json {
            print_json(&serde_json::json!({ "directory": self.directory, "layers": layers }));
            return Ok(0);
        }
        match layers.len() {
            0 => eprintln!("no layer is replaced: this is the base"),
            1 => eprintln!("1 layer is replaced: {}", layers[0]),
            many => eprintln!("{many} layers are replaced: {layers:?}"),
        }
        println!("{}", self.directory.display());
        Ok(0)
    }
}
