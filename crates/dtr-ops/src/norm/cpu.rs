//! RMSNorm on CPUs.

use burn::tensor::Tensor;

use crate::flex_tensors::{elements, from_flex, into_flex, tensor_like};

/// Computes [`rms_norm`](super::rms_norm) outside of autodiff graphs.
pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let (x, weight) = (into_flex(x).to_contiguous(), into_flex(weight.clone()).to_contiguous());
    from_flex(tensor_like(dtr_kernels::rms_norm(elements(&x), elements(&weight), epsilon as f32), &x))
}
