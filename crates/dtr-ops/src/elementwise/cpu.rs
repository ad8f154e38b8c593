//! The product `silu(gate) · x` on CPUs.

use burn::tensor::Tensor;

use crate::flex_tensors::{elements, from_flex, into_flex, tensor_like};

/// Computes [`silu_mul`](super::silu_mul) outside of autodiff graphs.
pub(super) fn silu_mul<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    let [gate, x] = [gate, x].map(|tensor| into_flex(tensor).to_contiguous());
    from_flex(tensor_like(dtr_kernels::swish_gate(elements(&gate), elements(&x)), &x))
}
