//! Measurement of the time and the energy that a piece of work takes.

use std::time::Instant;

use super::DeviceChoice;
#[cfg(feature = "cuda")]
use super::nvidia::NvmlDevice;
use super::rapl::Rapl;

/// The time and the energy of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceUsage {
    /// Device seconds: the elapsed seconds times the number of devices that the work held.
    pub seconds: f64,
    /// Joules that the devices consumed in this time, for this work and for other processes. `None` without
    /// energy counters.
    pub joules: Option<f64>,
}

impl ResourceUsage {
    /// Returns a fraction of the usage, for one of several pieces of work that ran side by side.
    pub fn scale(self, fraction: f64) -> Self {
        Self { seconds: fraction * self.seconds, joules: self.joules.map(|joules| fraction * joules) }
    }
}

/// A meter of the time and the energy that work takes on some devices.
pub struct UsageMeter {
    energy: EnergyCounter,
    num_devices: usize,
}

enum EnergyCounter {
    None,
    Processor(Rapl),
    #[cfg(feature = "cuda")]
    Nvidia(Vec<NvmlDevice>),
}

impl UsageMeter {
    /// Creates a meter for the chosen devices. Without readable energy counters it measures time only.
    pub fn for_device(choice: DeviceChoice) -> Self {
        let energy = match choice {
            DeviceChoice::Cpu => Rapl::open().map_or(EnergyCounter::None, EnergyCounter::Processor),
            #[cfg(feature = "cuda")]
            DeviceChoice::Cuda(indices) => {
                let devices: Option<Vec<_>> = indices.iter().map(NvmlDevice::open).collect();
                devices.map_or(EnergyCounter::None, EnergyCounter::Nvidia)
            }
            #[cfg(not(feature = "cuda"))]
            DeviceChoice::Cuda(_) => EnergyCounter::None,
        };
        Self { energy, num_devices: choice.num_devices() }
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

    /// Starts the measurement of a piece of work.
    pub fn start(&self) -> UsageTimer<'_> {
        UsageTimer { meter: self, start: Instant::now(), joules_at_start: self.joules() }
    }
}

/// A running measurement of a piece of work.
pub struct UsageTimer<'a> {
    meter: &'a UsageMeter,
    start: Instant,
    joules_at_start: Option<f64>,
}

impl UsageTimer<'_> {
    /// Returns the usage from the start up to now.
    pub fn usage(&self) -> ResourceUsage {
        let joules = self.joules_at_start.zip(self.meter.joules()).map(|(start, now)| now - start);
        ResourceUsage { seconds: self.start.elapsed().as_secs_f64() * self.meter.num_devices as f64, joules }
    }
}
