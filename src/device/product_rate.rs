//! The speed of a device: the rate of a matrix product.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use super::DeviceChoice;
use dtr_core::error::{Error, Result};
use dtr_ops::{linear, preferred_dtype, run_on_device_thread};

/// The rows, inputs and outputs of the product on a GPU. One H200 computes it at 790 TFLOP/s.
const GPU_PRODUCT: [usize; 3] = [8192, 4096, 4096];

/// The rows, inputs and outputs of the product on a CPU. It takes a tenth of a second on a slow core.
const CPU_PRODUCT: [usize; 3] = [1024, 1024, 1024];

/// Number of timed products. The fastest counts, because other work on the machine slows the rest.
const NUM_PRODUCTS: usize = 5;

impl DeviceChoice {
    /// Measures the rate of a matrix product on one of the chosen devices, in floating-point operations per
    /// second. The product is in the format that is fastest on the device: bf16 on a GPU, f32 on a CPU.
    /// Takes less than a second, apart from the start of a GPU.
    ///
    /// # Errors
    /// Fails if this build or this machine does not support the device, or if the device fails.
    pub fn measure_product_rate(self) -> Result<f64> {
        let device = self.open_all_return_first()?;
        let [rows, inputs, outputs] = if self == Self::Cpu { CPU_PRODUCT } else { GPU_PRODUCT };
        let (x, weight) = (random([1, rows, inputs], &device), random([outputs, inputs], &device));
        let mut fastest = f64::INFINITY;
        // The first product also compiles kernels and allocates memory.
        for _ in 0..=NUM_PRODUCTS {
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
