//! Properties of devices, the CUDA devices of this machine, and the thread that submits work to a device.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device};

/// Returns the dtype that is fastest on the device: bf16 on CUDA devices, f32 on CPUs.
pub fn preferred_dtype(device: &Device) -> DType {
    match device.as_dispatch() {
        #[cfg(feature = "cuda")]
        DispatchDevice::Cube(_) => DType::BF16,
        _ => DType::F32,
    }
}

/// Returns whether the device is a CPU. On a CPU, several threads can run operations in parallel. On a GPU,
/// the operations of all threads run one after another.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// Runs `work` on the thread that submits operations to the device. The operations of `work` then need no
/// switch of threads. On a GPU, this thread is burn's server thread. On a CPU, it is the calling thread.
///
/// # Panics
/// Panics if `work` panics.
pub fn run_on_device_thread<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "cuda")]
    if let DispatchDevice::Cube(device) = device.as_dispatch() {
        return crate::cuda::run_on_server_thread(device, work);
    }
    let _ = device;
    work()
}

/// Opens all CUDA devices of this machine. Returns no devices if there are none.
///
/// Open CUDA devices only with this function. It makes burn use one stream per device, because the kernels of
/// this crate must run on the same stream as burn's kernels.
#[cfg(feature = "cuda")]
pub fn open_cuda_devices() -> Vec<Device> {
    crate::cuda::use_single_stream();
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()
}

/// Lists the requirements of the CUDA kernels that are missing on this machine: a driver, NVRTC, cuBLASLt or
/// CUDA's headers.
#[cfg(feature = "cuda")]
pub fn missing_cuda_requirements() -> Vec<String> {
    crate::cuda::missing_requirements()
}
