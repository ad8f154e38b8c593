//! Tests that a GPU and the CPU compute nearly the same pretraining loss and the same gradient.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use dtr_model::BaseModel;
use dtr_ops::open_cuda_devices;

use super::loss::loss_and_gradient;

/// The largest accepted relative error of the loss and of the gradient, for each dtype.
const BOUNDS: [(DType, f64); 2] = [(DType::F32, 1e-4), (DType::BF16, 3e-2)];

/// Returns the loss of the bundled base on four rows of tokens, and all numbers of the loss's gradient.
fn loss_and_numbers(device: &Device, dtype: DType) -> (f64, Vec<f64>) {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    let base = BaseModel::read(&mini, device).unwrap();
    let rows: Vec<Vec<u32>> =
        (0..4).map(|row| (0..65).map(|at| (31 * row + at * at) % 100).collect()).collect();
    let (loss, gradient) = loss_and_gradient(&base.decoder, &rows, dtype);
    let numbers = |part: Tensor<1>| part.into_data().iter::<f64>().collect::<Vec<f64>>();
    (f64::from(loss.into_scalar::<f32>()), gradient.into_iter().flat_map(numbers).collect())
}

fn norm(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|number| number * number).sum::<f64>().sqrt()
}

#[test]
fn the_loss_and_its_gradient_are_close_to_those_of_the_cpu() {
    let Some(device) = open_cuda_devices().into_iter().next() else {
        eprintln!("SKIPPED: there is no CUDA device");
        return;
    };
    let (expected_loss, expected) = loss_and_numbers(&Device::flex(), DType::F32);
    for (dtype, bound) in BOUNDS {
        let (loss, found) = loss_and_numbers(&device, dtype);
        assert_eq!(found.len(), expected.len());
        let error = norm(found.iter().zip(&expected).map(|(a, b)| a - b)) / norm(expected.iter().copied());
        assert!(error < bound, "{dtype:?}: the gradient has the relative error {error:.2e}");
        assert!((loss / expected_loss - 1.0).abs() < bound, "{dtype:?}: loss {loss}, not {expected_loss}");
    }
}
