//! `dtr export MANIFEST DIR`: a hybrid that a search found, as a Hugging Face directory.

use std::path::PathBuf;

use clap::Args;

use super::{Experiment, print_json};
use crate::export::{Choice, Which, export};
use dtr_core::error::Result;

/// Write a hybrid that a search found as a Hugging Face directory; runs nothing.
///
/// Names are needed only as far as the sweep has several searches.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    experiment: Experiment,
    /// The new directory.
    directory: PathBuf,
    /// The base's name in the manifest.
    #[arg(long)]
    model: Option<String>,
    /// The variant's name in the manifest.
    #[arg(long)]
    variant: Option<String>,
    /// The task's name in the manifest.
    #[arg(long)]
    task: Option<String>,
    /// The value of a further axis, such as `distil.token-budget=64k`; may be repeated.
    #[arg(long = "axis", value_name = "KEY=VALUE", value_parser = axis)]
    axes: Vec<(String, String)>,
    /// Which hybrid of the search: the one with the most layers replaced, or the one that scored highest.
    #[arg(long, value_enum, default_value_t = Which::Opt)]
    which: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn axis(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an axis is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Export {
    pub(super) fn run(self) -> Result<u8> {
        let (plan, store) = (self.experiment.plan()?, self.experiment.results.store()?);
        let choice = Choice {
            model: self.model,
            variant: self.variant,
            task: self.task,
            axes: self.axes.into_iter().collect(),
            which: self.which,
        };
        let command = self.experiment.sweep_command();
        let layers = export(&plan, &store, &choice, &self.directory, &command)?;
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
