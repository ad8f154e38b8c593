//! Root-mean-square and l2 normalisation over the last dimension.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Tensor};

use crate::kernel_support::has_cpu_inference_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::{has_cuda_inference_kernels, has_cuda_kernels};
use crate::layer_stack::broadcast_layer_parameter;

/// Returns `x / sqrt(mean(x²) + epsilon) · weight` over the last dimension (Llama's RMSNorm). Computes the
/// norm in f32. For a stack of layers, `weight` holds the weight of each layer.
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    if has_cpu_inference_kernels(&x) && has_cpu_inference_kernels(weight) {
        return cpu::rms_norm(x, weight, epsilon);
    }
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x) && x.dtype() == weight.dtype() {
        return cuda::rms_norm(x, weight, epsilon);
    }
    let (dtype, x_dims) = (x.dtype(), x.dims());
    let x = x.cast(DType::F32);
    let scale = x.clone().square().mean_dim(D - 1).add_scalar(epsilon).sqrt().recip();
    (x * scale).cast(dtype) * broadcast_layer_parameter(weight, x_dims)
}

/// Returns the sum `x + residual`, and the [`rms_norm`] of the sum.
pub fn add_rms_norm(
    x_btd: Tensor<3>,
    residual_btd: Tensor<3>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> (Tensor<3>, Tensor<3>) {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_btd) && has_cuda_inference_kernels(weight) {
        return cuda::add_rms_norm(x_btd, residual_btd, weight, epsilon);
    }
    let sum = x_btd + residual_btd;
    (sum.clone(), rms_norm(sum, weight, epsilon))
}

/// Returns `x / sqrt(Σx² + 1e-6)` over the last dimension. As in flash-linear-attention, the epsilon is
/// inside the root.
pub(crate) fn l2_norm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let scale = x.clone().square().sum_dim(D - 1).add_scalar(1e-6).sqrt().recip();
    x * scale
}
