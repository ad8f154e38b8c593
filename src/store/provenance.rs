//! The provenance of a result: program, machine and command line. No result depends on the provenance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use dtr_core::files::Digest;
use dtr_core::system_info;

/// The program that made a record, its machine, and its command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of the program.
    pub version: String,
    /// The git revision of the program's source, if the build knew it (from git or `DTR_REVISION`).
    pub revision: Option<String>,
    /// Whether the source had uncommitted changes, if the build knew that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<bool>,
    /// The Cargo features of the build.
    pub features: Vec<String>,
    /// The name of the device that computed the result.
    pub device: String,
    /// The version of the device's driver, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Whether the device computes the same bytes each time that it runs a cell, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeatable: Option<bool>,
    /// Number of CPU threads.
    pub threads: usize,
    /// The operating system.
    pub host_os: String,
    /// The CPU's architecture.
    pub host_arch: String,
    /// The command line.
    pub command: Vec<String>,
    /// The command line's overrides of manifest values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// The peak memory of the process until the end of the cell, in bytes, if the system reports it.
    pub peak_memory_bytes: Option<u64>,
    /// Digests that the Hugging Face hub publishes for the files of the plan, by URI. The files were verified
    /// before the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hub_files: BTreeMap<String, String>,
    /// Digests of the input cells' artifacts, by `role/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_files: BTreeMap<String, Digest>,
}

impl Provenance {
    /// Returns the provenance of results that this process computes on `device` with `threads` threads.
    pub fn of_this_process(device: impl Into<String>, threads: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("DTR_REVISION").map(str::to_owned),
            modified: option_env!("DTR_MODIFIED").map(|modified| modified == "true"),
            features: features(),
            device: device.into(),
            driver: None,
            repeatable: None,
            threads,
            host_os: std::env::consts::OS.to_owned(),
            host_arch: std::env::consts::ARCH.to_owned(),
            // An argument need not be UTF-8. Replace its invalid characters.
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            overrides: Vec::new(),
            peak_memory_bytes: system_info::peak_resident_bytes(),
            hub_files: BTreeMap::new(),
            input_files: BTreeMap::new(),
        }
    }

    /// Returns the provenance with the folders of absolute paths removed from the command line. These folders
    /// may contain a user's name.
    pub fn without_folders(self) -> Self {
        let file_name = |word: String| match word.rsplit_once('/') {
            Some((_, name)) if word.starts_with('/') => name.to_owned(),
            _ => word,
        };
        Self { command: self.command.into_iter().map(file_name).collect(), ..self }
    }

    /// Returns the provenance with the current peak memory, for the end of a cell.
    pub fn with_current_peak(self) -> Self {
        Self { peak_memory_bytes: system_info::peak_resident_bytes(), ..self }
    }
}

fn features() -> Vec<String> {
    let all = [("cuda", cfg!(feature = "cuda"))];
    all.into_iter().filter(|(_, is_built_in)| *is_built_in).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provenance_of_this_process_has_its_version_and_command() {
        let here = Provenance::of_this_process("cpu", 2);
        assert_eq!(here.version, env!("CARGO_PKG_VERSION"));
        assert!(!here.command.is_empty());
        assert!(here.peak_memory_bytes.is_none_or(|bytes| bytes > 0));
    }
}
