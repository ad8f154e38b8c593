//! What the processor computes by `dtr-kernels`: the recurrences, which burn differentiates, and the forward passes of
//! frozen layers, which nothing differentiates.

mod inference;
mod recurrence;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

use super::native::{Native, native_frozen};

/// How many rows a product of `x_rd` with `out` columns must have to be added up in the order in which it is with many.
///
/// With fewer, `gemm` (of burn's processor) adds up the products along vectors, or cuts wide sums elsewhere: its branches for
/// one row, for at most 256 numbers, and for at most 64 by 64. Sums of training are left as they are.
pub(super) fn rows_needed(x_rd: &Tensor<2>, out: usize) -> usize {
    let [_, width] = x_rd.dims();
    match native_frozen(x_rd) == Some(Native::Processor) {
        true if out <= 64 && width > 512 => (256 / out + 1).max(65),
        true => (256 / out + 1).max(2),
        false => 0,
    }
}

/// Has `gemm` read matrices that lie by columns as they lie, however many rows they are multiplied with: it would copy them
/// from 48 rows on, which takes small passes up to a tenth of their time. Sums are the same.
pub(super) fn read_as_they_lie() {
    /// Times six rows; the most that can be said.
    const ALWAYS: usize = 256;
    gemm::set_lhs_packing_threshold_single_thread(ALWAYS);
    gemm::set_lhs_packing_threshold_multi_thread(ALWAYS);
}

/// The values of a contiguous tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("tensors were made contiguous and are f32")
}

/// A tensor of `tensor`'s shape.
fn like(values: Vec<f32>, tensor: &FlexTensor) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, tensor.shape()))
}
