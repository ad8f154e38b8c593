//! Lookup of embeddings.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod tests;

use burn::tensor::{Int, Tensor};

/// Returns the rows of `table_nd` at the indices `indices_r`, as a tensor `[r, d]`.
pub fn embedding(table_nd: &Tensor<2>, indices_r: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if crate::kernel_support::has_cuda_kernels(table_nd) {
        return cuda::embedding(table_nd, indices_r);
    }
    table_nd.clone().select(0, indices_r)
}
