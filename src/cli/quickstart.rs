//! `dtr quickstart`: writes the bundled base and its experiments to a folder, and runs the quick-start
//! experiment there.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use dtr_core::error::{Error, Result};
use dtr_core::files;

use super::sweep::SweepCommand;
use super::{DeviceArgs, ExperimentArgs, ResultsArgs};

/// Embeds files in the program, as an array of (path, content) pairs. Paths are relative to the repository.
macro_rules! bundled_files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)).as_slice())),*]
    };
}

/// The paths and contents of the bundled files: the base, and the experiments that need no other files.
const FILES: &[(&str, &[u8])] = &bundled_files![
    "experiments/base/models.toml",
    "experiments/base/recipe.toml",
    "experiments/base/tasks.toml",
    "experiments/base/variants.toml",
    "experiments/init.toml",
    "experiments/quickstart.toml",
    "experiments/throughput-mini.toml",
    "models/mini/README.md",
    "models/mini/config.json",
    "models/mini/model.safetensors",
    "models/mini/tokenizer.json",
    "schemas/experiment.json",
];

/// Write the bundled base and its experiments to a folder, and run the quick-start experiment there.
///
/// Files that exist are not overwritten, so edited manifests are kept. Running the command again resumes the
/// sweep.
#[derive(Args)]
pub struct QuickstartCommand {
    /// Folder to write to; created if it is missing.
    #[arg(default_value = "dtr-quickstart")]
    dir: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

impl QuickstartCommand {
    pub(super) fn run(self) -> Result<u8> {
        unpack(&self.dir)?;
        let manifest = self.dir.join("experiments/quickstart.toml");
        let results = ResultsArgs { results: self.dir.join("results") };
        SweepCommand::new(ExperimentArgs { manifest, sets: Vec::new(), results }, self.device).run()
    }
}

/// Writes the bundled files that do not exist in `dir` yet.
fn unpack(dir: &Path) -> Result<()> {
    for (path, content) in FILES {
        let path = dir.join(path);
        if !fs::exists(&path).map_err(|cause| Error::io("read", &path, cause))? {
            files::write_bytes_atomically(&path, content)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load_manifest;

    #[test]
    fn every_bundled_experiment_can_be_planned_and_edits_survive() {
        let dir = tempfile::tempdir().unwrap();
        unpack(dir.path()).unwrap();
        for name in ["init", "quickstart", "throughput-mini"] {
            let manifest = dir.path().join(format!("experiments/{name}.toml"));
            crate::plan::plan_for_cpu(&load_manifest(&manifest, &[]).unwrap()).unwrap();
        }
        let edited = dir.path().join("experiments/quickstart.toml");
        fs::write(&edited, "name = \"mine\"\n").unwrap();
        unpack(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&edited).unwrap(), "name = \"mine\"\n");
    }
}
