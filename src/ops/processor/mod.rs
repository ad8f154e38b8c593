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
