//! Normalisations, in f32 whatever the input's dtype.

use burn::tensor::{DType, Tensor, activation::silu};

use super::layout::{merge_heads, split_heads};
#[cfg(feature = "cuda")]
use super::native::{Native, blocks, native};
use super::native::{inference, native_frozen};

/// Adds up the last dimension and keeps it as one.
fn mean_square<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.square().mean_dim(D - 1)
}

/// `x / sqrt(mean(x²) + epsilon) · weight` over the last dimension, computed in f32 (Llama's RMSNorm).
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    if native_frozen(&x).is_some() && native_frozen(weight).is_some() {
        return inference::rms_norm(x, weight, epsilon);
    }
    #[cfg(feature = "cuda")]
    if native(&x) == Some(Native::Cuda) && x.dtype() == weight.dtype() {
        return blocks::rms_norm(x, weight, epsilon);
    }
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let scale = mean_square(x.clone()).add_scalar(epsilon).sqrt().recip();
    (x * scale).cast(dtype) * weight.clone().unsqueeze::<D>()
}

/// `silu(gate) · x`: the inside of a SwiGLU, and the output gate of the linear blocks.
pub fn swish_gate<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    if native_frozen(&gate).is_some() && native_frozen(&x).is_some() {
        return inference::swish_gate(gate, x);
    }
    #[cfg(feature = "cuda")]
    if native(&gate) == Some(Native::Cuda) && gate.dtype() == x.dtype() {
        return blocks::swish_gate(gate, x);
    }
    silu(gate) * x
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
        Some(gate) => swish_gate(gate, normed),
        None => normed,
    }
}

/// [`gated_rms_norm`] of each head of `o_bhtv` by its part of `gate_btd`, with the heads side by side, `[b, t, h·v]`.
pub fn readout(
    o_bhtv: Tensor<4>,
    gate_btd: Option<Tensor<3>>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> Tensor<3> {
    let heads = o_bhtv.dims()[1];
    match gate_btd {
        #[cfg(feature = "cuda")]
        Some(gate) if native(&o_bhtv) == Some(Native::Cuda) => blocks::readout(o_bhtv, gate, weight, epsilon),
        gate => {
            let gate = gate.map(|gate| split_heads(gate, heads));
            merge_heads(gated_rms_norm(o_bhtv, gate, weight, epsilon))
        }
    }
}

/// `x / sqrt(Σx² + 1e-6)` over the last dimension; the epsilon stands inside the root, as in fla.
pub fn l2_norm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let scale = x.clone().square().sum_dim(D - 1).add_scalar(1e-6).sqrt().recip();
    x * scale
}
