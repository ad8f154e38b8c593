//! Every kernel against the portable form of its operation in f64, on random numbers that differ from run to run, over
//! memory that held NaN before. Without a CUDA device these tests say that they are skipped.

mod blocks;
mod inference;
mod parts;

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use half::bf16;

use crate::*;

/// Relative error that is allowed: rounding of inputs is not part of it, since the oracle has the same ones.
const BOUNDS: [(DType, f64); 2] = [(DType::F32, 1e-3), (DType::BF16, 1e-2)];

fn cuda() -> Option<Device> {
    let device = cuda_devices().into_iter().next();
    if device.is_none() {
        eprintln!("SKIPPED: there is no CUDA device");
    }
    device
}

/// Leaves NaN in memory that the next tensors will have.
fn poison(device: &Device) {
    let sizes = (8..25).map(|power| 1_usize << power);
    let filled: Vec<Tensor<1>> =
        sizes.flat_map(|size| [size, size]).map(|size| Tensor::full([size], f32::NAN, device)).collect();
    drop(filled);
    device.sync().unwrap();
}

/// Random numbers that f32 and bf16 hold alike, in f64 on the processor.
fn random<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
    let x = Tensor::<D>::random(shape, Distribution::Uniform(low, high), &Device::flex());
    let values: Vec<f32> = x.into_data().try_to_vec().unwrap();
    let values: Vec<f64> = values.into_iter().map(|value| f64::from(bf16::from_f32(value))).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
}

fn on<const D: usize>(device: &Device, dtype: DType, x: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(x.to_data(), (device, dtype))
}

/// ‖found - truth‖ / ‖truth‖; NaN where either holds one.
fn distance<const D: usize>(found: &Tensor<D>, truth: &Tensor<D>) -> f64 {
    let numbers = |x: &Tensor<D>| -> Vec<f64> { x.to_data().iter::<f64>().collect() };
    let (found, truth) = (numbers(found), numbers(truth));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(&truth).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied())
}

fn close<const D: usize>(what: &str, found: &Tensor<D>, truth: &Tensor<D>, bound: f64) {
    assert_eq!(found.dims(), truth.dims(), "{what}");
    let error = distance(found, truth);
    assert!(error < bound, "{what}: relative error {error:.2e}, allowed {bound:.0e}");
}

/// The same numbers off by as much as a rounding to `dtype` may be.
fn blurred<const D: usize>(x: &Tensor<D>, dtype: DType) -> Tensor<D> {
    let half = if dtype == DType::BF16 { 2.0_f64.powi(-9) } else { 2.0_f64.powi(-25) };
    let factors = Distribution::Uniform(1.0 - half, 1.0 + half);
    x.clone() * Tensor::random(x.dims(), factors, (&Device::flex(), DType::F64))
}

/// Runs `check` for both dtypes.
fn in_both(check: impl Fn(&Device, DType, f64)) {
    let Some(device) = cuda() else { return };
    for (dtype, bound) in BOUNDS {
        check(&device, dtype, bound);
    }
}
