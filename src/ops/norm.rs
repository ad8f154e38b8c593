//! Normalisations, in f32 whatever the input's dtype.

use burn::tensor::{DType, Tensor, activation::silu};

/// Adds up the last dimension and keeps it as one.
fn mean_square<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.square().mean_dim(D - 1)
}

/// `x / sqrt(mean(x²) + epsilon) · weight` over the last dimension, computed in f32 (Llama's RMSNorm).
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let scale = mean_square(x.clone()).add_scalar(epsilon).sqrt().recip();
    (x * scale).cast(dtype) * weight.clone().unsqueeze::<D>()
}

/// RMSNorm followed by the gate `swish(gate)`, as fla's `FusedRMSNormGated`.
pub fn gated_rms_norm<const D: usize>(
    x: Tensor<D>,
    gate: Option<Tensor<D>>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let normed = rms_norm(x, weight, epsilon);
    match gate {
        Some(gate) => normed * silu(gate),
        None => normed,
    }
}

/// `x / sqrt(Σx² + 1e-6)` over the last dimension; the epsilon stands inside the root, as in fla.
pub fn l2_norm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let scale = x.clone().square().sum_dim(D - 1).add_scalar(1e-6).sqrt().recip();
    x * scale
}
