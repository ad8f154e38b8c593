//! The context that all cells of a run share.

use burn::tensor::Device;

use super::program_sandbox::SandboxOptions;
use super::progress::ProgressDisplay;
use super::supervisor::SupervisorConnection;
use crate::device::UsageMeter;
use crate::store::{Provenance, Store};
use dtr_core::error::{Error, Result};

/// The context that all cells of a run share: store, devices, progress and supervisor.
pub struct RunContext<'a> {
    /// The store of records.
    pub store: &'a Store,
    /// The progress display.
    pub progress: &'a ProgressDisplay,
    /// The devices that compute. Work that cannot be divided among devices runs on the first device.
    pub devices: Vec<Device>,
    /// The meter of time and energy.
    pub meter: &'a UsageMeter,
    /// The provenance of the records that the run writes.
    pub provenance: Provenance,
    /// Bytes of memory that this process may use on each device. `None` if this limit is unknown.
    pub memory_limit: Option<u64>,
    /// The connection to the supervisor process.
    pub supervisor: &'a SupervisorConnection,
    /// The settings of the sandbox for programs that a model wrote.
    pub sandbox: &'a SandboxOptions,
}

impl RunContext<'_> {
    /// Returns the device for work that cannot be divided among devices.
    pub fn device(&self) -> &Device {
        &self.devices[0]
    }

    /// Checks that the user has not asked to stop.
    ///
    /// # Errors
    /// Fails if the user has asked to stop.
    pub fn check_interrupted(&self) -> Result<()> {
        match self.progress.is_interrupted() {
            true => Err(Error::interrupted()),
            false => Ok(()),
        }
    }
}
