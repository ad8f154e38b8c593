//! Measures the speed of a device: the rate of a matrix product.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use super::DeviceChoice;
use dtr_core::error::{Error, Result};
use dtr_ops::{linear, preferred_dtype, run_on_device_thread};

/// The rows, inputs and outputs of the product on a GPU. An H200 computes this product at 790 TFLOP/s.
const GPU_MATMUL: [usize; 3] = [8192, 4096, 4096];

/// The rows, inputs and outputs of the product on a CPU. A slow core takes a tenth of a second.
const CPU_MATMUL: [usize; 3] = [1024, 1024, 1024];

/// Number of products after the first. The fastest product gives the rate, because other work on the machine
/// can slow the others.
const NUM_MATMULS: usize = 5;

impl DeviceChoice {
    /// Measures the rate of a matrix product on one of the chosen devices, in floating-point operations per
    /// second. The product uses the floating-point type that is fastest on the device: bf16 on a GPU, f32 on
    /// a CPU. Takes less than a second, plus the time to initialise a GPU.
    ///
    /// # Errors
    /// Fails if this build or this machine does not support the device, or if the device fails.
    pub fn measure_matmul_rate(self) -> Result<f64> {
        let device = self.open_all_return_first()?;
        let [rows, inputs, outputs] = if self == Self::Cpu { CPU_MATMUL } else { GPU_MATMUL };
        let (x, weight) = (random([1, rows, inputs], &device), random([outputs, inputs], &device));
        let mut fastest = f64::INFINITY;
        // There is one more product, because the first product also compiles kernels and allocates memory.
        for _ in 0..=NUM_MATMULS {
            synchronize(&device)?;
            let start = Instant::now();
            run_on_device_thread(&device, || drop(linear(x.clone(), &weight, None)));
            synchronize(&device)?;
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        Ok(2.0 * (rows * inputs * outputs) as f64 / fastest)
    }
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), (device, preferred_dtype(device)))
}

fn synchronize(device: &Device) -> Result<()> {
    device.sync().map_err(|cause| Error::failed(format!("the device failed: {cause:?}")))
}
