//! The context of a run, which all its cells share.

use burn::tensor::Device;

use super::progress::ProgressDisplay;
use super::supervisor::SupervisorConnection;
use crate::device::UsageMeter;
use crate::store::{Provenance, Store};
use dtr_core::error::{Error, Result};

/// The context of a run, which all its cells share.
pub struct RunContext<'a> {
    /// The store of records.
    pub store: &'a Store,
    /// The progress display.
    pub progress: &'a ProgressDisplay,
    /// The devices that compute. Work that cannot be divided runs on the first device.
    pub devices: Vec<Device>,
    /// The meter of the devices' energy.
    pub meter: &'a UsageMeter,
    /// The provenance of the records.
    pub provenance: Provenance,
    /// Bytes of memory that this process may use on each device, if that is known.
    pub memory_limit: Option<u64>,
    /// The connection to the supervisor of this process.
    pub supervisor: &'a SupervisorConnection,
}

impl RunContext<'_> {
    /// Returns the device of the work that cannot be divided.
    pub fn device(&self) -> &Device {
        &self.devices[0]
    }

    /// Checks that the run may continue.
    ///
    /// # Errors
    /// Fails if the user asked to stop.
    pub fn check_interrupted(&self) -> Result<()> {
        match self.progress.is_interrupted() {
            true => Err(Error::interrupted()),
            false => Ok(()),
        }
    }
}
