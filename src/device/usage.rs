//! Measurement of the time and the energy that a piece of work takes.

use std::ops::Add;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::DeviceChoice;
#[cfg(feature = "cuda")]
use super::nvidia::NvmlDevice;
use super::rapl::RaplMeter;

/// The time and the energy of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeAndEnergy {
    /// Device seconds: the elapsed seconds times the number of devices that the work held.
    pub seconds: f64,
    /// Joules that the devices consumed in this time, for all processes. `None` if the energy counters cannot
    /// be read.
    pub joules: Option<f64>,
}

impl TimeAndEnergy {
    /// No time and no energy.
    pub const ZERO: Self = Self { seconds: 0.0, joules: Some(0.0) };

    /// Multiplies the time and the energy by `fraction`.
    pub fn scale(self, fraction: f64) -> Self {
        Self { seconds: fraction * self.seconds, joules: self.joules.map(|joules| fraction * joules) }
    }
}

impl Add for TimeAndEnergy {
    type Output = Self;

    /// Adds the usage of another piece of work. The energy of the sum is known only if both energies are
    /// known.
    fn add(self, other: Self) -> Self {
        let joules = self.joules.zip(other.joules).map(|(one, other)| one + other);
        Self { seconds: self.seconds + other.seconds, joules }
    }
}

/// A meter of the time and the energy that work takes on some devices.
pub struct UsageMeter {
    energy: EnergyCounter,
    num_devices: usize,
    /// The number of workers that share the devices.
    num_workers: usize,
}

enum EnergyCounter {
    None,
    Processor(RaplMeter),
    #[cfg(feature = "cuda")]
    Nvidia(Vec<NvmlDevice>),
}

impl UsageMeter {
    /// Creates a meter for the chosen devices. If their energy counters cannot be read, the meter measures
    /// only time.
    ///
    /// If several workers share the devices, each worker measures an equal share of the time and the energy.
    /// The shares of all workers add up to the usage of the devices.
    pub fn for_device(choice: DeviceChoice, num_workers: usize) -> Self {
        let energy = match choice {
            DeviceChoice::Cpu => RaplMeter::open().map_or(EnergyCounter::None, EnergyCounter::Processor),
            #[cfg(feature = "cuda")]
            DeviceChoice::Cuda(indices) => {
                let devices: Option<Vec<_>> = indices.iter().map(NvmlDevice::for_cuda_index).collect();
                devices.map_or(EnergyCounter::None, EnergyCounter::Nvidia)
            }
            #[cfg(not(feature = "cuda"))]
            DeviceChoice::Cuda(_) => EnergyCounter::None,
        };
        Self { energy, num_devices: choice.num_devices(), num_workers }
    }

    /// Creates a meter of the CPU whose energy counters are below `folder`.
    #[cfg(test)]
    pub(crate) fn of_cpu_in(folder: &std::path::Path) -> Self {
        let counters = RaplMeter::open_in(folder).expect("the folder has no readable energy counters");
        Self { energy: EnergyCounter::Processor(counters), num_devices: 1, num_workers: 1 }
    }

    /// Returns the joules consumed since a fixed moment in the past.
    fn joules(&self) -> Option<f64> {
        match &self.energy {
            EnergyCounter::None => None,
            EnergyCounter::Processor(rapl) => rapl.joules(),
            #[cfg(feature = "cuda")]
            EnergyCounter::Nvidia(devices) => devices.iter().map(NvmlDevice::joules).sum(),
        }
    }

    /// Returns whether the devices have readable energy counters.
    pub fn has_energy_counter(&self) -> bool {
        self.joules().is_some()
    }

    /// Returns this worker's share of the device seconds in `seconds` of elapsed time.
    pub fn device_seconds(&self, seconds: f64) -> f64 {
        seconds * self.num_devices as f64 / self.num_workers as f64
    }

    /// Reads the clock and the energy counters.
    pub fn read(&self) -> MeterReading {
        MeterReading { time: Instant::now(), joules: self.joules() }
    }

    /// Returns the usage between two readings.
    pub fn usage_between(&self, start: MeterReading, end: MeterReading) -> TimeAndEnergy {
        let seconds = self.device_seconds((end.time - start.time).as_secs_f64());
        let joules = start.joules.zip(end.joules).map(|(start, end)| (end - start) / self.num_workers as f64);
        TimeAndEnergy { seconds, joules }
    }

    /// Starts the measurement of a piece of work.
    pub fn start(&self) -> UsageTimer<'_> {
        UsageTimer { meter: self, start: self.read() }
    }
}

/// A reading of the clock and the energy counters.
#[derive(Clone, Copy, Debug)]
pub struct MeterReading {
    time: Instant,
    joules: Option<f64>,
}

/// A running measurement of a piece of work.
pub struct UsageTimer<'a> {
    meter: &'a UsageMeter,
    start: MeterReading,
}

impl UsageTimer<'_> {
    /// Returns the usage since the start.
    pub fn usage(&self) -> TimeAndEnergy {
        self.meter.usage_between(self.start, self.meter.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_of_a_sum_is_unknown_if_the_energy_of_a_part_is_unknown() {
        let [known, unknown] = [Some(2.0), None].map(|joules| TimeAndEnergy { seconds: 1.5, joules });
        assert_eq!(TimeAndEnergy::ZERO + known, known);
        assert_eq!(known + known, TimeAndEnergy { seconds: 3.0, joules: Some(4.0) });
        assert_eq!(known + unknown, TimeAndEnergy { seconds: 3.0, joules: None });
        assert_eq!(TimeAndEnergy::ZERO + unknown, unknown);
    }

    #[test]
    fn workers_share_the_time_of_their_devices() {
        let seconds =
            |num_workers| UsageMeter::for_device(DeviceChoice::Cpu, num_workers).device_seconds(6.0);
        assert_eq!([seconds(1), seconds(4)], [6.0, 1.5]);
    }
}
