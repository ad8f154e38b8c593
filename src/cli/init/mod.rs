//! `dtr init`: writes a manifest for a base, and prints the cells, memory and time that its experiment needs.

mod base_argument;
mod relative_path;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::DeviceArgs;
use super::plan::{PlanCommand, group_digits};
use crate::device::DeviceChoice;
use crate::hub::{self, FileLocation};
use crate::manifest::{Dtype, ModelSource, NewManifest};
use crate::plan::{ESTIMATE_TOKENS, Plan, TimeEstimate};
use crate::resources::WorkRates;
use crate::stages::base_path;
use base_argument::BaseArgument;
use dtr_core::error::{Error, Result};
use dtr_model::BaseModel;
use relative_path::path_from_folder;

/// Write a manifest for a base, with comments that say what to change, and print its plan.
///
/// The plan tells the memory and the time that the experiment takes. The time is estimated from a matrix
/// product on the device, which takes less than a second.
#[derive(Args)]
pub struct InitCommand {
    /// GGUF file, directory in the Hugging Face format, or repository of the hub: `OWNER/NAME`,
    /// `OWNER/NAME@REVISION` or `OWNER/NAME/FILE.gguf`.
    base: String,
    /// Bundled task, such as `boolq`; may be repeated.
    #[arg(long = "task", value_name = "NAME", default_value = "arc-easy")]
    tasks: Vec<String>,
    /// File of the text on which the twins learn (plain text, JSON Lines, JSON or Parquet); may be repeated
    /// [default: a file of FineWeb-Edu on the hub].
    #[arg(long = "corpus", value_name = "FILE", num_args = 1..)]
    corpus: Vec<PathBuf>,
    /// Manifest to write [default: the name of the base, in the working directory].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl InitCommand {
    pub(super) fn run(self) -> Result<u8> {
        let base = BaseArgument::parse(&self.base)?;
        let output = self.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.toml", base.name)));
        fetch_config(&base.source)?;
        let text = self.new_manifest(base, &output)?.to_toml()?;
        write_new_file(&output, &text)?;
        let printed = self.print_plan(&output);
        if printed.is_err() {
            // `dtr plan` would not accept the manifest.
            fs::remove_file(&output).map_err(|cause| Error::io("remove", &output, cause))?;
        }
        printed.map(|()| 0)
    }

    fn new_manifest(&self, base: BaseArgument, output: &Path) -> Result<NewManifest> {
        let folder = match output.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        Ok(NewManifest {
            source: base.source_in(folder)?,
            dtype: match self.device.device {
                DeviceChoice::Cpu => Dtype::F32,
                DeviceChoice::Cuda(_) => Dtype::Bf16,
            },
            max_positions: max_positions(&base.source)?,
            tasks: without_duplicates(&self.tasks),
            corpus: self.corpus.iter().map(|file| corpus_path(file, folder)).collect::<Result<_>>()?,
            name: base.name,
        })
    }

    fn print_plan(&self, manifest: &Path) -> Result<()> {
        let device = self.device.device;
        let command = PlanCommand::new(manifest.to_owned(), DeviceArgs { device });
        let plan = command.plan()?;
        println!("{}\n", manifest.display());
        command.print(&plan)?;
        print_time(&plan, device);
        let manifest = manifest.display();
        match device {
            DeviceChoice::Cpu => eprintln!("`dtr sweep {manifest}` runs it"),
            device => eprintln!("`dtr sweep {manifest} --device {device}` runs it"),
        }
        Ok(())
    }
}

/// Downloads the `config.json` of a repository, which holds the shape of the base. If the download fails, the
/// shape stays unknown.
///
/// # Errors
/// Fails if the hub does not know the repository or the revision.
fn fetch_config(source: &ModelSource) -> Result<()> {
    let ModelSource::Hub(model) = source else { return Ok(()) };
    let hub = hub::default_hub();
    let pinned = hub.pin_if_reachable(&model.into())?;
    if model.file.is_none()
        && pinned.repo().is_pinned()
        && let Err(error) = hub.fetch_file(&pinned, "config.json", &mut |_, _| {})
    {
        eprintln!("{}", error.to_line());
    }
    Ok(())
}

/// Returns the length of the base's context, or `None` if the base's configuration is not on disk.
fn max_positions(source: &ModelSource) -> Result<Option<usize>> {
    match base_path(source)?.filter(|path| BaseModel::has_config(path)) {
        Some(path) => Ok(Some(BaseModel::read_config(&path)?.max_positions)),
        None => Ok(None),
    }
}

fn without_duplicates(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| seen.insert(*name)).cloned().collect()
}

/// Returns the path of a corpus file for a manifest in `folder`.
fn corpus_path(file: &Path, folder: &Path) -> Result<String> {
    let text = file.display().to_string();
    if FileLocation::is_hub_uri(&text) {
        return Ok(text);
    }
    if !file.is_file() {
        let reason = if file.is_dir() { "it is a directory" } else { "there is no such file" };
        return Err(Error::manifest(format!("cannot read the corpus file `{text}`: {reason}"))
            .hint("name files of text: plain text, JSON Lines, JSON or Parquet"));
    }
    path_from_folder(folder, file)
}

/// Writes a file that must not exist yet.
fn write_new_file(path: &Path, text: &str) -> Result<()> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::manifest(format!("cannot write `{}`: it already exists", path.display()))
                .hint("name another file with `--output`")
        }
        _ => Error::io("write", path, cause),
    })
}

fn print_time(plan: &Plan, device: DeviceChoice) {
    match WorkRates::measure(device).and_then(|rates| TimeEstimate::new(plan, &rates)) {
        Ok(estimate) => time_lines(&estimate).iter().for_each(|line| println!("time         {line}")),
        Err(error) => println!("time         unknown: {}", error.to_line()),
    }
}

fn time_lines(estimate: &TimeEstimate) -> Vec<String> {
    let TimeEstimate { distil_seconds, search_seconds, seconds_per_10k_tokens, .. } = *estimate;
    let mut parts = Vec::new();
    if distil_seconds > 0.0 {
        parts.push(format!("about {} for distil", format_seconds(distil_seconds)));
    }
    if search_seconds > 0.0 {
        parts.push(format!("at most about {} for search", format_seconds(search_seconds)));
    }
    let mut lines = Vec::new();
    if !parts.is_empty() {
        lines.push(parts.join(", "));
    }
    if !estimate.tasks_not_downloaded.is_empty() {
        let tasks: Vec<&str> = estimate.tasks_not_downloaded.iter().map(String::as_str).collect();
        lines.push(format!(
            "at most about {} for a search on each {} tokens of validation items; not downloaded: {}",
            format_seconds(seconds_per_10k_tokens),
            group_digits(ESTIMATE_TOKENS),
            tasks.join(", ")
        ));
    }
    if estimate.has_unknown_shape {
        lines.push("unknown before the download of the base".to_owned());
    }
    lines
}

/// Formats an estimated duration.
fn format_seconds(seconds: f64) -> String {
    let (number, unit) = match seconds {
        ..90.0 => return format!("{:.0} s", seconds.max(1.0)),
        ..5_400.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    if number < 10.0 { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_or_two_digits() {
        for (seconds, text) in [
            (0.2, "1 s"),
            (42.4, "42 s"),
            (95.0, "1.6 min"),
            (1_234.0, "21 min"),
            (7_200.0, "2.0 h"),
            (604_800.0, "7.0 days"),
        ] {
            assert_eq!(format_seconds(seconds), text);
        }
    }
}
