//! Elementwise operations (sums, SiLU and the product `silu(gate) · x`), and the concatenation of batches.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod tests;

use burn::tensor::{Tensor, activation};

#[cfg(feature = "cuda")]
pub(crate) use cuda::{add_bias, silu_mul_primitive};

use crate::kernel_support::has_cpu_inference_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::{has_cuda_inference_kernels, has_cuda_kernels};

/// Returns `a + b`.
pub fn add(a_btd: Tensor<3>, b_btd: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&a_btd) && has_cuda_inference_kernels(&b_btd) {
        return cuda::add(a_btd, b_btd);
    }
    a_btd + b_btd
}

/// Concatenates tensors of one shape, `[b, t, d]`, along the batch.
///
/// burn's own concatenation may leave gaps between rows. Each kernel that reads such a tensor copies it
/// first. In inference on a GPU, this function therefore returns a dense tensor if each part has a multiple
/// of 8 elements.
pub fn concat_batches(parts: Vec<Tensor<3>>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if parts.iter().all(has_cuda_inference_kernels) && parts[0].shape().num_elements().is_multiple_of(8) {
        return cuda::concat_batches(parts);
    }
    Tensor::cat(parts, 0)
}

/// Returns `silu(x) = x · sigmoid(x)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x) {
        return cuda::silu(x);
    }
    activation::silu(x)
}

/// Returns `silu(gate) · x`, as in a SwiGLU MLP and in the output gate of linear attention.
pub(crate) fn silu_mul<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    if has_cpu_inference_kernels(&gate) && has_cpu_inference_kernels(&x) {
        return cpu::silu_mul(gate, x);
    }
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&gate) && gate.dtype() == x.dtype() {
        return cuda::silu_mul(gate, x);
    }
    activation::silu(gate) * x
}
