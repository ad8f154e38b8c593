//! Reads the name, the driver version, the free memory and the energy of a device from NVIDIA's management
//! library (NVML).

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// An NVIDIA device, opened through NVML.
pub struct NvmlDevice {
    library: Nvml,
    id: DeviceId,
}

#[derive(Debug, PartialEq)]
enum DeviceId {
    Index(u32),
    Uuid(String),
}

impl NvmlDevice {
    /// Opens the device with the CUDA index `index`. Returns `None` if NVML or the device is missing, or if
    /// `CUDA_VISIBLE_DEVICES` hides the device.
    pub fn for_cuda_index(index: usize) -> Option<Self> {
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let id = device_id(index, visible.as_deref())?;
        let device = Self { library: Nvml::init().ok()?, id };
        device.handle().is_ok().then_some(device)
    }

    fn handle(&self) -> Result<Device<'_>, NvmlError> {
        match &self.id {
            DeviceId::Index(index) => self.library.device_by_index(*index),
            DeviceId::Uuid(uuid) => self.library.device_by_uuid(uuid.as_str()),
        }
    }

    /// Returns the product name, such as `NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> Option<String> {
        self.handle().ok()?.name().ok()
    }

    /// Returns the version of the driver, such as `550.54.15`.
    pub fn driver_version(&self) -> Option<String> {
        self.library.sys_driver_version().ok()
    }

    /// Returns the number of bytes of free memory.
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.handle().ok()?.memory_info().ok()?.free)
    }

    /// Returns the joules consumed since the driver was loaded, or `None` if the device has no energy
    /// counter.
    pub fn joules(&self) -> Option<f64> {
        Some(self.handle().ok()?.total_energy_consumption().ok()? as f64 / 1e3)
    }
}

/// Converts a CUDA device index to NVML's identifier. NVML numbers all devices of the machine. CUDA numbers
/// only the devices in `visible`, the value of `CUDA_VISIBLE_DEVICES`. CUDA ignores an empty entry and all
/// entries after it, so an empty value hides all devices.
fn device_id(index: usize, visible: Option<&str>) -> Option<DeviceId> {
    let Some(visible) = visible else { return Some(DeviceId::Index(index as u32)) };
    let entry = visible.split(',').map(str::trim).take_while(|entry| !entry.is_empty()).nth(index)?;
    Some(entry.parse().map_or_else(|_| DeviceId::Uuid(entry.to_owned()), DeviceId::Index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuda_numbers_only_the_visible_devices() {
        assert_eq!(device_id(1, None), Some(DeviceId::Index(1)));
        assert_eq!(device_id(1, Some("3, 2")), Some(DeviceId::Index(2)));
        assert_eq!(device_id(0, Some("GPU-5e1f")), Some(DeviceId::Uuid("GPU-5e1f".to_owned())));
        assert_eq!(device_id(2, Some("3,2")), None);
        assert_eq!(device_id(0, Some("")), None);
        assert_eq!(device_id(0, Some(" ")), None);
        assert_eq!(device_id(2, Some("3,,2")), None);
    }
}
