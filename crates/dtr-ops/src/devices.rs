//! What devices compute in, and how they are asked.

use burn::tensor::{DType, Device};

/// The shortest floating point that the device is good at: bf16 on CUDA devices, f32 on processors.
pub fn short_dtype(device: &Device) -> DType {
    #[cfg(feature = "cuda")]
    if matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(_)) {
        return DType::BF16;
    }
    let _ = device;
    DType::F32
}

/// Whether work that is asked for by several threads is done side by side, as on processors.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_))
}

/// Does `work`, which asks for much of the device, where that is quickest: on a GPU's own thread, which asks without
/// waiting for another.
///
/// # Panics
/// As `work` does.
pub fn exclusively<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "cuda")]
    if let burn::backend::DispatchDevice::Cube(device) = device.as_dispatch() {
        return super::cuda::exclusively(device, work);
    }
    let _ = device;
    work()
}

/// The CUDA devices of this machine. They are opened here alone: each does all that it is asked for in one order.
#[cfg(feature = "cuda")]
pub fn cuda_devices() -> Vec<Device> {
    super::cuda::keep_order();
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()
}

/// What this build's kernels for GPUs cannot do without and this machine lacks, in words.
#[cfg(feature = "cuda")]
pub fn lacking_for_gpus() -> Vec<String> {
    super::cuda::lacking()
}
