//! What the processor computes by `dtr-kernels` instead of by tensor operations: the recurrences, which
//! burn differentiates, and the forward passes of frozen layers, which nothing differentiates.

pub(super) mod frozen;
pub(super) mod recurrence;

use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, TensorMetadata};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Whether tensors like `x` can take the processor's way.
pub(super) fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && matches!(innermost(&x.device()).as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether they can, and nothing is to be differentiated.
pub(super) fn applies_frozen<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && applies(x)
}

/// How many rows a product of `x_rd` with `out` columns must have to be added up in the order in which it is with many.
///
/// With fewer, `gemm` (of burn's processor) adds up the products along vectors, or cuts wide sums elsewhere: its branches for
/// one row, for at most 256 numbers, and for at most 64 by 64. Sums of training are left as they are.
pub(super) fn rows_needed(x_rd: &Tensor<2>, out: usize) -> usize {
    let [_, width] = x_rd.dims();
    match applies_frozen(x_rd) {
        true if out <= 64 && width > 512 => (256 / out + 1).max(65),
        true => (256 / out + 1).max(2),
        false => 0,
    }
}

fn innermost(device: &Device) -> Device {
    if device.is_autodiff() { device.clone().inner() } else { device.clone() }
}

/// The values of a contiguous tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("tensors were made contiguous and are f32")
}

/// A tensor of `tensor`'s shape.
fn like(values: Vec<f32>, tensor: &FlexTensor) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, tensor.shape()))
}
