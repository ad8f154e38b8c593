//! Matrix products on CPUs. The result of a row does not depend on the number of rows.

use burn::tensor::Tensor;

use crate::kernel_support::has_cpu_inference_kernels;

/// Returns `x_rd · weight_odᵀ`. If `x_rd` has fewer than [`min_rows`] rows, pads it with rows of zeros for
/// the product.
pub(super) fn matmul(x_rd: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    let ([rows, width], [out, _]) = (x_rd.dims(), weight_od.dims());
    let weight = weight_od.clone().transpose();
    match min_rows(&x_rd, out).saturating_sub(rows) {
        0 => x_rd.matmul(weight),
        missing => {
            let padding = Tensor::zeros([missing, width], &x_rd.device());
            Tensor::cat(vec![x_rd, padding], 0).matmul(weight).narrow(0, 0, rows)
        }
    }
}

/// A product of few rows may sum its terms in a different order than a product of many rows. Returns the
/// smallest number of rows for which the order is the same. `out` is the product's number of columns. Returns
/// 0 in training, where the order may differ.
///
/// burn's Flex backend multiplies with the crate `gemm`, which has special branches for small products. One
/// branch, for one row or at most 256 output elements, sums along vectors. Another branch, for outputs of at
/// most 64 by 64 elements, splits long sums.
fn min_rows(x_rd: &Tensor<2>, out: usize) -> usize {
    let [_, width] = x_rd.dims();
    match has_cpu_inference_kernels(x_rd) {
        true if out <= 64 && width > 512 => (256 / out + 1).max(65),
        true => (256 / out + 1).max(2),
        false => 0,
    }
}

/// Makes `gemm` read column-major matrices in place for any number of rows. By default, `gemm` copies a
/// column-major matrix if the product has 48 rows or more. In small forward passes, this copy takes up to a
/// tenth of the time. The sums are the same with and without the copy.
pub(super) fn disable_packing() {
    /// The largest threshold that `gemm` accepts. One unit is six rows.
    const MAX_THRESHOLD: usize = 256;
    gemm::set_lhs_packing_threshold_single_thread(MAX_THRESHOLD);
    gemm::set_lhs_packing_threshold_multi_thread(MAX_THRESHOLD);
}
