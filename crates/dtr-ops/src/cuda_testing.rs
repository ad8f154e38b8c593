//! Helpers for tests on CUDA devices. The tests compare every kernel with the portable form of its operation
//! (see the documentation of the crate), computed in f64. The inputs are random numbers that differ from run
//! to run. Before a kernel runs, the memory for its results is filled with NaN. Without a CUDA device, the
//! tests are skipped and print a message.

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use half::bf16;

use crate::open_cuda_devices;
pub use crate::testing::{INPUT_KINDS, InputKind};

/// The largest allowed relative error for each dtype. It does not include the rounding of the inputs, since
/// the reference gets the same rounded inputs.
pub const BOUNDS: [(DType, f64); 2] = [(DType::F32, 1e-3), (DType::BF16, 1e-2)];

/// Returns the first CUDA device. Prints a message if there is none.
pub fn cuda_device() -> Option<Device> {
    let device = open_cuda_devices().into_iter().next();
    if device.is_none() {
        eprintln!("SKIPPED: there is no CUDA device");
    }
    device
}

/// Fills free memory with NaN. The next tensors are allocated in this memory.
pub fn fill_free_memory_with_nan(device: &Device) {
    let sizes = (8..25).map(|power| 1_usize << power);
    let filled: Vec<Tensor<1>> =
        sizes.flat_map(|size| [size, size]).map(|size| Tensor::full([size], f32::NAN, device)).collect();
    drop(filled);
    device.sync().unwrap();
}

/// Returns random f64 numbers that bf16 represents exactly, as a tensor on the CPU.
pub fn random_bf16_exact<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
    let x = Tensor::<D>::random(shape, Distribution::Uniform(low, high), &Device::flex());
    let values: Vec<f32> = x.into_data().try_to_vec().unwrap();
    let values: Vec<f64> = values.into_iter().map(|value| f64::from(bf16::from_f32(value))).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
}

pub fn to_device<const D: usize>(device: &Device, dtype: DType, x: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(x.to_data(), (device, dtype))
}

/// Returns `‖found − truth‖ / ‖truth‖`. The result is NaN if either tensor holds NaN.
pub fn relative_error<const D: usize>(found: &Tensor<D>, truth: &Tensor<D>) -> f64 {
    let numbers = |x: &Tensor<D>| -> Vec<f64> { x.to_data().iter::<f64>().collect() };
    let (found, truth) = (numbers(found), numbers(truth));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(&truth).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied())
}

pub fn assert_close<const D: usize>(label: &str, found: &Tensor<D>, truth: &Tensor<D>, bound: f64) {
    assert_eq!(found.dims(), truth.dims(), "{label}");
    let error = relative_error(found, truth);
    assert!(error < bound, "{label}: relative error {error:.2e}, bound {bound:.0e}");
}

/// Multiplies each number by a random factor close to 1. The relative changes are about as large as the
/// errors of rounding to `dtype`.
pub fn perturb<const D: usize>(x: &Tensor<D>, dtype: DType) -> Tensor<D> {
    let half = if dtype == DType::BF16 { 2.0_f64.powi(-9) } else { 2.0_f64.powi(-25) };
    let factors = Distribution::Uniform(1.0 - half, 1.0 + half);
    x.clone() * Tensor::random(x.dims(), factors, (&Device::flex(), DType::F64))
}

/// Runs `check` for each dtype, if there is a CUDA device.
pub fn for_each_dtype(check: impl Fn(&Device, DType, f64)) {
    let Some(device) = cuda_device() else { return };
    for (dtype, bound) in BOUNDS {
        check(&device, dtype, bound);
    }
}

/// Sequence lengths below, at and above multiples of the chunk length, 64.
pub const SEQUENCE_LENGTHS: [usize; 6] = [2, 63, 64, 65, 130, 300];

/// Returns random log decays for a kind of inputs.
pub fn log_decays<const D: usize>(kind: InputKind, shape: [usize; D]) -> Tensor<D> {
    match kind {
        InputKind::Mild => random_bf16_exact(shape, -0.2, 0.0),
        InputKind::StrongDecay => random_bf16_exact(shape, -30.0, 0.0),
        InputKind::Correlated => random_bf16_exact(shape, -0.01, 0.0),
    }
}

/// Returns random keys for a kind of inputs.
pub fn keys(kind: InputKind, shape: [usize; 4]) -> Tensor<4> {
    let noise = random_bf16_exact(shape, -1.0, 1.0);
    match kind {
        InputKind::Correlated => {
            let common = random_bf16_exact([1, 1, 1, shape[3]], -1.0, 1.0).expand(shape);
            let x = common + noise.mul_scalar(0.03);
            let values: Vec<f64> = x.into_data().iter::<f64>().collect();
            let rounded: Vec<f64> = values.into_iter().map(|x| f64::from(bf16::from_f64(x))).collect();
            Tensor::from_data(TensorData::new(rounded, shape), (&Device::flex(), DType::F64))
        }
        _ => noise,
    }
}

/// The largest allowed relative error of f32 operations in training. The errors of true f32 are far below
/// this bound. The errors of TF32 are about thirty times the bound.
pub const F32_TRAINING_BOUND: f64 = 1e-5;

/// Returns random numbers that ten bits of mantissa (TF32) cannot represent.
pub fn random_beyond_tf32(shape: [usize; 4]) -> Tensor<4> {
    random_bf16_exact(shape, -2.0, 2.0) * 0.77
}

/// Asserts that `run`, in f32 on `device`, has the same output and gradients as `exact`, in f64 on the CPU.
/// Relative errors must be below `bound`.
pub fn assert_gradients_close<const N: usize>(
    bound: f64,
    label: &str,
    device: &Device,
    inputs: [Tensor<4>; N],
    run: impl Fn([Tensor<4>; N], &Device) -> Tensor<4>,
    exact: impl Fn([Tensor<4>; N], &Device) -> Tensor<4>,
) {
    assert_gradients_close_in((DType::F32, bound), label, device, inputs, run, exact);
}

/// Asserts the same as [`assert_gradients_close`], but `run` computes in `dtype`. The inputs must be
/// representable in `dtype`.
pub fn assert_gradients_close_in<const N: usize>(
    (dtype, bound): (DType, f64),
    label: &str,
    device: &Device,
    inputs: [Tensor<4>; N],
    run: impl Fn([Tensor<4>; N], &Device) -> Tensor<4>,
    exact: impl Fn([Tensor<4>; N], &Device) -> Tensor<4>,
) {
    type Form<'a, const N: usize> = &'a dyn Fn([Tensor<4>; N], &Device) -> Tensor<4>;
    let all = |run: Form<'_, N>, inputs: [Tensor<4>; N], device: &Device, seed: Option<Tensor<4>>| {
        let inputs = inputs.map(|x| x.autodiff().require_grad());
        let y = run(inputs.clone(), device);
        let seed = seed.unwrap_or_else(|| random_bf16_exact(y.dims(), -2.0, 2.0));
        let gradients = (y.clone() * seed.clone().cast(y.dtype()).autodiff()).sum().backward();
        let gradients = inputs.map(|x| x.grad(&gradients).unwrap());
        (y.inner(), gradients, seed)
    };
    let (truth, of_truth, seed) = all(&exact, inputs.clone(), &Device::flex(), None);
    fill_free_memory_with_nan(device);
    let there = |x: &Tensor<4>| to_device(device, dtype, x);
    let (found, of_found, _) = all(&run, inputs.each_ref().map(there), device, Some(there(&seed)));
    assert_close(label, &found, &truth, bound);
    for (index, (found, truth)) in of_found.iter().zip(&of_truth).enumerate() {
        assert_close(&format!("{label}: gradient {index}"), found, truth, bound);
    }
}
