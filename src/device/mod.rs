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

use dtr_core::error::{Error, Result};

/// Devices by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The processor.
    Cpu,
    /// CUDA devices of one kind, which share what can be shared out.
    Cuda(Cards),
}

/// Indices of CUDA devices, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cards(u64);

impl Cards {
    /// The first device.
    pub const FIRST: Self = Self(1);

    /// The indices, the lowest first.
    pub fn indices(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |index| self.0 >> index & 1 == 1)
    }

    /// Reads `0` or `0,1`.
    fn parse(text: &str) -> Option<Self> {
        let bit = |index: &str| 1_u64.checked_shl(index.parse().ok()?);
        text.split(',').try_fold(0, |cards, index| Some(cards | bit(index)?)).map(Self)
    }
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
        let cards = match text.split_once(':') {
            None if text == "cpu" => return Ok(Self::Cpu),
            None if text == "cuda" => Some(Cards::FIRST),
            Some(("cuda", indices)) => Cards::parse(indices),
            _ => None,
        };
        let unknown =
            || format!("unknown device `{text}`; known are `cpu`, `cuda:0`, and several as `cuda:0,1`");
        cards.map(Self::Cuda).ok_or_else(unknown)
    }
}

impl Choice {
    /// The devices, if this build and machine have them; the first alone does what cannot be shared out.
    pub fn open_all(self) -> Result<Vec<Device>> {
        match self {
            Self::Cpu => Ok(vec![Device::flex()]),
            Self::Cuda(cards) => cards.indices().map(open_cuda).collect(),
        }
    }

    /// The first of the devices.
    pub fn open(self) -> Result<Device> {
        Ok(self.open_all()?.remove(0))
    }

    /// How many devices these are.
    pub fn count(self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::Cuda(cards) => cards.indices().count(),
        }
    }

    /// Bytes of memory that this process may fill on each device, where that can be told.
    pub fn room(self) -> Option<u64> {
        match self {
            Self::Cpu => memory_bytes(),
            Self::Cuda(cards) => cards.indices().map(free_bytes).min().flatten(),
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
            Self::Cuda(cards) => {
                let first = cards.indices().next().unwrap_or(0);
                let card = card_name(first).map_or(format!("cuda:{first}"), |card| format!("cuda ({card})"));
                if self.count() == 1 { card } else { format!("{} x {card}", self.count()) }
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
fn free_bytes(index: usize) -> Option<u64> {
    nvidia::Card::open(index)?.free_bytes()
}

#[cfg(not(feature = "cuda"))]
fn free_bytes(_: usize) -> Option<u64> {
    None
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    let devices = dtr_ops::cuda_devices();
    let missing = || {
        Error::environment(format!("no CUDA device {index}: {} found", devices.len()))
            .hint("`dtr doctor` says what is missing")
    };
    devices.get(index).cloned().ok_or_else(missing)
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
    fn devices_are_named_alone_or_together() {
        let indices = |text: &str| match text.parse() {
            Ok(Choice::Cuda(cards)) => cards.indices().collect::<Vec<_>>(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!("cpu".parse(), Ok(Choice::Cpu));
        assert_eq!([indices("cuda"), indices("cuda:3"), indices("cuda:2,0")], [vec![0], vec![3], vec![0, 2]]);
        for unknown in ["gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:64", "cpu:0"] {
            assert!(unknown.parse::<Choice>().is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_driver_is_read_from_either_form_of_its_line() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12\n";
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build\n";
        assert_eq!(nvidia_driver(closed).as_deref(), Some("NVIDIA 550.54.15"));
        assert_eq!(nvidia_driver(open).as_deref(), Some("NVIDIA 570.124.06"));
        assert_eq!(nvidia_driver(""), None);
    }
}
