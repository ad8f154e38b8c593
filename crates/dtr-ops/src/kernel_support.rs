//! Checks whether the kernels support a tensor's device, dtype and widths.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Returns whether the kernels of `dtr-kernels` support `x`: f32 on a CPU. `x` may be on an autodiff
/// graph.
pub(crate) fn has_cpu_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    matches!((inner_device(x).as_dispatch(), x.dtype()), (DispatchDevice::Flex(_), DType::F32))
}

/// Returns whether the CUDA kernels support `x`: f32 or bf16 on a CUDA device. `x` may be on an autodiff
/// graph.
#[cfg(feature = "cuda")]
pub(crate) fn has_cuda_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    matches!((inner_device(x).as_dispatch(), x.dtype()), (DispatchDevice::Cube(_), DType::F32 | DType::BF16))
}

/// Returns whether the CUDA kernels support `x`, and `x` is not on an autodiff graph.
#[cfg(feature = "cuda")]
pub(crate) fn has_cuda_inference_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && has_cuda_kernels(x)
}

/// Returns whether the kernels of `dtr-kernels` support `x`, and `x` is not on an autodiff graph.
pub(crate) fn has_cpu_inference_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && has_cpu_kernels(x)
}

fn inner_device<const D: usize>(x: &Tensor<D>) -> Device {
    let device = x.device();
    if device.is_autodiff() { device.inner() } else { device }
}

/// Returns whether the CUDA kernels of linear attention support the device, the dtype and the head widths of
/// these tensors.
#[cfg(feature = "cuda")]
pub(crate) fn has_cuda_linear_attention_kernels(q_bhtk: &Tensor<4>, v_bgtv: &Tensor<4>) -> bool {
    has_cuda_kernels(q_bhtk) && is_linear_attention_recordable(q_bhtk.dims()[3], v_bgtv.dims()[3])
}

/// Returns whether a decoding step of linear attention with these key and value widths runs only kernels of
/// this crate on a CUDA device. Only such steps can be recorded as a CUDA graph.
pub fn is_linear_attention_recordable(key: usize, value: usize) -> bool {
    (key == 16 || key.is_multiple_of(32)) && value.is_multiple_of(16) && key.max(value) <= 128
}
