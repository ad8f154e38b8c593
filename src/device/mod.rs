//! Devices: the user's choice of devices, their descriptions for records, and meters of the time and the
//! energy that work takes.

mod matmul_rate;
#[cfg(feature = "cuda")]
mod nvidia;
mod rapl;
mod usage;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use dtr_core::error::{Error, Result};
use dtr_core::system_info;
use serde::{Deserialize, Serialize};

#[cfg(feature = "cuda")]
use nvidia::NvmlDevice;
pub use usage::{MeterReading, TimeAndEnergy, UsageMeter, UsageTimer};

/// The devices that the user chose: `cpu`, `cuda:0`, or several as `cuda:0,1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU.
    Cpu,
    /// One or several CUDA devices.
    Cuda(CudaIndices),
}

/// A set of CUDA device indices. The set is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaIndices(u64);

impl CudaIndices {
    /// The set that holds only index 0.
    pub const FIRST: Self = Self(1);

    /// Returns the indices in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |index| self.0 >> index & 1 == 1)
    }

    fn first(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Parses a list of indices, such as `0` or `0,1`.
    fn parse(text: &str) -> Option<Self> {
        let bit = |index: &str| 1_u64.checked_shl(index.parse().ok()?);
        text.split(',').try_fold(0, |indices, index| Some(indices | bit(index)?)).map(Self)
    }
}

/// The properties of a machine on which throughput depends. Machines with the same device and the same number
/// of threads have the same label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineLabel {
    /// The device's description, such as `cuda (NVIDIA H100 80GB HBM3)`.
    pub device: String,
    /// The number of CPU threads that compute.
    pub threads: usize,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let indices = match text.split_once(':') {
            None if text == "cpu" => return Ok(Self::Cpu),
            None if text == "cuda" => Some(CudaIndices::FIRST),
            Some(("cuda", indices)) => CudaIndices::parse(indices),
            _ => None,
        };
        let unknown =
            || format!("unknown device `{text}`; use `cpu`, `cuda:0`, or several devices as `cuda:0,1`");
        indices.map(Self::Cuda).ok_or_else(unknown)
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(indices) => {
                let indices: Vec<String> = indices.iter().map(|index| index.to_string()).collect();
                write!(f, "cuda:{}", indices.join(","))
            }
        }
    }
}

impl DeviceChoice {
    /// Opens all chosen devices. Work that cannot be divided among several devices runs on the first of them.
    ///
    /// # Errors
    /// Fails if this build or this machine does not support one of the devices.
    pub fn open_all(self) -> Result<Vec<Device>> {
        match self {
            Self::Cpu => Ok(vec![Device::flex()]),
            Self::Cuda(indices) => indices.iter().map(open_cuda).collect(),
        }
    }

    /// Opens all chosen devices and returns the first.
    ///
    /// # Errors
    /// Fails if this build or this machine does not support one of the devices.
    pub fn open_all_return_first(self) -> Result<Device> {
        Ok(self.open_all()?.remove(0))
    }

    /// Returns the number of chosen devices.
    pub fn num_devices(self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::Cuda(indices) => indices.iter().count(),
        }
    }

    /// Returns how many bytes of memory this process may use on each device. If the devices differ, returns
    /// the lowest number. Returns `None` if the system does not report the number.
    pub fn available_bytes(self) -> Option<u64> {
        match self {
            Self::Cpu => system_info::memory_limit_bytes(),
            Self::Cuda(indices) => indices.iter().map(free_cuda_bytes).min().flatten(),
        }
    }

    /// Returns the label of this machine, with the chosen devices, for throughput measurements.
    pub fn machine_label(self) -> MachineLabel {
        MachineLabel { device: self.description(), threads: rayon::current_num_threads() }
    }

    /// Returns the name and the version of the GPU driver, such as `NVIDIA 550.54.15`. Returns `None` for the
    /// CPU.
    pub fn driver(self) -> Option<String> {
        match self {
            Self::Cpu => None,
            Self::Cuda(indices) => {
                cuda_driver_version(indices.first()).map(|version| format!("NVIDIA {version}"))
            }
        }
    }

    /// Returns whether the same work gives the same bytes each time. A GPU may add numbers in a different
    /// order each time, which changes rounding errors.
    pub fn is_deterministic(self) -> bool {
        self == Self::Cpu
    }

    /// Returns the device's description for records, such as `2 x cuda (NVIDIA H200)`.
    pub fn description(self) -> String {
        match self {
            Self::Cpu => format!("cpu ({})", cpu_name()),
            Self::Cuda(indices) => {
                let first = indices.first();
                let name = cuda_name(first).map_or(format!("cuda:{first}"), |name| format!("cuda ({name})"));
                if self.num_devices() == 1 { name } else { format!("{} x {name}", self.num_devices()) }
            }
        }
    }
}

/// Returns the CPU's model name, or its architecture if the system does not report the name.
pub fn cpu_name() -> String {
    system_info::cpu_model_name().unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(feature = "cuda")]
fn cuda_name(index: usize) -> Option<String> {
    NvmlDevice::for_cuda_index(index)?.name()
}

#[cfg(not(feature = "cuda"))]
fn cuda_name(_: usize) -> Option<String> {
    None
}

#[cfg(feature = "cuda")]
fn cuda_driver_version(index: usize) -> Option<String> {
    NvmlDevice::for_cuda_index(index)?.driver_version()
}

#[cfg(not(feature = "cuda"))]
fn cuda_driver_version(_: usize) -> Option<String> {
    None
}

#[cfg(feature = "cuda")]
fn free_cuda_bytes(index: usize) -> Option<u64> {
    NvmlDevice::for_cuda_index(index)?.free_bytes()
}

#[cfg(not(feature = "cuda"))]
fn free_cuda_bytes(_: usize) -> Option<u64> {
    None
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    let devices = dtr_ops::open_cuda_devices();
    let missing = || {
        Error::environment(format!("cannot open CUDA device {index}: {} found", devices.len()))
            .hint("run `dtr doctor` to see what is missing")
    };
    devices.get(index).cloned().ok_or_else(missing)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<Device> {
    Err(Error::environment("this build has no CUDA").hint("build with `--features cuda`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_several_devices_are_parsed() {
        let indices = |text: &str| match text.parse() {
            Ok(DeviceChoice::Cuda(indices)) => indices.iter().collect::<Vec<_>>(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!([indices("cuda"), indices("cuda:3"), indices("cuda:2,0")], [vec![0], vec![3], vec![0, 2]]);
        for text in ["cpu", "cuda:0", "cuda:0,2"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for unknown in ["gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:64", "cpu:0"] {
            assert!(unknown.parse::<DeviceChoice>().is_err(), "{unknown}");
        }
    }
}
