//! The devices that compute, by the names people type, and what work on them takes.

mod load;
mod memory;
mod meter;
#[cfg(feature = "cuda")]
mod nvidia;
mod rapl;

use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub use load::Load;
pub use memory::memory_bytes;
pub use meter::{Meter, Spent, Watch};

use crate::error::{Error, Result};

/// A device by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The processor.
    Cpu,
    /// A CUDA device by index.
    Cuda(usize),
}

/// What computes, as far as it decides how long work takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Machine {
    /// The device in words.
    pub device: String,
    /// Threads of the processor at work.
    pub threads: usize,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let unknown = || format!("unknown device `{text}`; known are `cpu` and `cuda:0`");
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl Choice {
    /// The device, if this build and machine have it.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda(index) => open_cuda(index),
        }
    }

    /// The device and the threads beside it.
    pub fn machine(self) -> Machine {
        Machine { device: self.name(), threads: rayon::current_num_threads() }
    }

    /// The device's driver, where it has one and tells.
    pub fn driver(self) -> Option<String> {
        match self {
            Self::Cpu => None,
            Self::Cuda(_) => nvidia_driver(&std::fs::read_to_string("/proc/driver/nvidia/version").ok()?),
        }
    }

    /// Whether the device gives the same bytes again for the same work; a GPU may sum in another order.
    pub fn is_repeatable(self) -> bool {
        self == Self::Cpu
    }

    /// The device in words, for records.
    pub fn name(self) -> String {
        match self {
            Self::Cpu => format!("cpu ({})", processor()),
            Self::Cuda(index) => {
                card_name(index).map_or(format!("cuda:{index}"), |card| format!("cuda ({card})"))
            }
        }
    }
}

#[cfg(feature = "cuda")]
fn card_name(index: usize) -> Option<String> {
    nvidia::Card::open(index)?.name()
}

#[cfg(not(feature = "cuda"))]
fn card_name(_: usize) -> Option<String> {
    None
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    use burn::tensor::DeviceType;
    let found = Device::enumerate(DeviceType::Cuda).into_vec().len();
    if index >= found {
        return Err(Error::environment(format!("no CUDA device {index}: {found} found"))
            .hint("`dtr doctor` says what is missing"));
    }
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<Device> {
    Err(Error::environment("this build has no CUDA").hint("build with `--features cuda`"))
}

/// `NVIDIA 550.54.15`, from what the driver says of itself.
fn nvidia_driver(about: &str) -> Option<String> {
    let line = about.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(is_version).map(|version| format!("NVIDIA {version}"))
}

/// The processor's name, where the system tells.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |name| name.trim_start_matches([' ', '\t', ':']).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_read_from_either_form_of_its_line() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12\n";
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build\n";
        assert_eq!(nvidia_driver(closed).as_deref(), Some("NVIDIA 550.54.15"));
        assert_eq!(nvidia_driver(open).as_deref(), Some("NVIDIA 570.124.06"));
        assert_eq!(nvidia_driver(""), None);
    }
}
