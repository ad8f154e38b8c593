//! Where a result comes from: the program, the machine and the command. Nothing here decides a result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use dtr_core::files::Digest;
use dtr_core::process;

/// Which program made a record, on what and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of the program.
    pub version: String,
    /// The last revision that changed its source, where the build knew (from git, or `DTR_REVISION`).
    pub revision: Option<String>,
    /// Whether the source differed from that revision, where the build knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<bool>,
    /// The optional features that were built in.
    pub features: Vec<String>,
    /// The device that computed, in words.
    pub device: String,
    /// The device's driver, where it has one and tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Whether the device gives the same bytes again for the same cell; absent from old records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeatable: Option<bool>,
    /// Threads of the processor at work.
    pub threads: usize,
    /// The operating system.
    pub host_os: String,
    /// The processor's architecture.
    pub host_arch: String,
    /// The command line.
    pub command: Vec<String>,
    /// What the command line overrode in the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// The most memory that the process held up to now, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// Files of the hub that were checked before the run, by URI, with the digests that the hub names them by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hub_files: BTreeMap<String, String>,
    /// Files of the input cells, by role and name, with their recorded digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_files: BTreeMap<String, Digest>,
}

impl Provenance {
    /// This process, computing on `device` with `threads` threads.
    pub fn here(device: impl Into<String>, threads: usize) -> Self {
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
            // Lossy: a path that is not UTF-8 is no reason to panic here.
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            overrides: Vec::new(),
            peak_memory_bytes: process::peak_resident_bytes(),
            hub_files: BTreeMap::new(),
            input_files: BTreeMap::new(),
        }
    }

    /// The same at the end of a cell: with the memory that the process has held by then.
    pub fn at_the_end(self) -> Self {
        Self { peak_memory_bytes: process::peak_resident_bytes(), ..self }
    }
}

/// The optional features that were built in.
fn features() -> Vec<String> {
    let all = [("cuda", cfg!(feature = "cuda"))];
    all.into_iter().filter(|(_, is_built_in)| *is_built_in).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_can_say_where_it_comes_from() {
        let here = Provenance::here("cpu", 2);
        assert_eq!(here.version, env!("CARGO_PKG_VERSION"));
        assert!(!here.command.is_empty());
        assert!(here.peak_memory_bytes.is_none_or(|bytes| bytes > 0));
    }
}
