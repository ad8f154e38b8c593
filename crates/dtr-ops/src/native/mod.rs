//! Operations that devices compute by kernels of their own instead of by burn's tensor operations. The traits here say
//! what; `processor` and `cuda` say how.

#[cfg(feature = "cuda")]
pub(super) mod autodiff;
#[cfg(feature = "cuda")]
pub(super) mod blocks;
#[cfg(feature = "cuda")]
pub(super) mod decode;
mod differentiable;
#[cfg(feature = "cuda")]
pub(super) mod elements;
pub(super) mod inference;
pub(super) mod recurrence;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// What computes, of what has kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// The processor.
    Processor,
    /// A CUDA device.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// Whose kernels tensors like `x` can take, on an autodiff graph or not.
pub(super) fn native<const D: usize>(x: &Tensor<D>) -> Option<Native> {
    let device = x.device();
    let device: Device = if device.is_autodiff() { device.inner() } else { device };
    match (device.as_dispatch(), x.dtype()) {
        (DispatchDevice::Flex(_), DType::F32) => Some(Native::Processor),
        #[cfg(feature = "cuda")]
        (DispatchDevice::Cube(_), DType::F32 | DType::BF16) => Some(Native::Cuda),
        _ => None,
    }
}

/// Whether CUDA kernels of linear blocks serve heads as wide as these.
#[cfg(feature = "cuda")]
pub(super) fn serves(q_bhtk: &Tensor<4>, v_bgtv: &Tensor<4>) -> bool {
    let (key, value) = (q_bhtk.dims()[3], v_bgtv.dims()[3]);
    (key == 16 || key.is_multiple_of(32)) && value.is_multiple_of(16) && key.max(value) <= 128
}

/// [`native`] where nothing is to be differentiated.
pub(super) fn native_frozen<const D: usize>(x: &Tensor<D>) -> Option<Native> {
    if x.is_autodiff() { None } else { native(x) }
}
