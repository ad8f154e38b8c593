//! Writes into a part of a tensor in place.

use std::ops::Range;

use burn::tensor::Tensor;

/// Writes `values` into the part `ranges` of `tensor`.
///
/// On a CUDA device, the result keeps the memory of `tensor`. A recorded step (a CUDA graph) that reads this
/// memory therefore sees the new values.
///
/// # Panics
/// Panics if another tensor shares the memory of `tensor` on a CUDA device.
pub fn overwrite<const D: usize>(
    tensor: Tensor<D>,
    ranges: [Range<usize>; D],
    values: Tensor<D>,
) -> Tensor<D> {
    #[cfg(feature = "cuda")]
    if crate::kernel_support::has_cuda_inference_kernels(&tensor) {
        return crate::cuda::overwrite(tensor, ranges, values);
    }
    tensor.slice_assign(ranges, values)
}
