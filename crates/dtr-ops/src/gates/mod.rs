//! The gates of linear attention: decay gates, write strengths and the gated norm of the output.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(feature = "cuda")]
mod delta_gates_cuda;

use burn::tensor::activation::{log_sigmoid, sigmoid, softplus};
use burn::tensor::{DType, Tensor};

use crate::elementwise::silu_mul;
use crate::heads::{merge_heads, split_heads};
#[cfg(feature = "cuda")]
use crate::kernel_support::has_cuda_kernels;
use crate::linear::broadcast_row;
use crate::norm::rms_norm;

/// Returns the log decay of gated linear attention, `log_sigmoid(x) / normalizer`, in f32.
pub fn decay_gate(x_btd: Tensor<3>, normalizer: f64) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x_btd) {
        return cuda::decay_gate(x_btd, normalizer);
    }
    log_sigmoid(x_btd.cast(DType::F32)).div_scalar(normalizer)
}

/// Returns the two gates of the gated delta rule, `[b, t, h]` each, in f32: the write strengths
/// `scale · sigmoid(b)` and the log decays `−exp(a_log) · softplus(a + dt_bias)`. Stacked layers lie one
/// after the other in the batch dimension. `a_log` and `dt_bias` then hold `h` values for each layer.
pub fn delta_gates(
    [a_bth, b_bth]: [Tensor<3>; 2],
    [a_log, dt_bias]: [&Tensor<1>; 2],
    scale: f64,
) -> [Tensor<3>; 2] {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&a_bth) && a_bth.dims()[2] <= delta_gates_cuda::MAX_HEADS {
        return delta_gates_cuda::delta_gates([a_bth, b_bth], [a_log, dt_bias], scale);
    }
    let row = |x: &Tensor<1>| broadcast_row(x, &a_bth);
    let strength = sigmoid(b_bth.cast(DType::F32)).mul_scalar(scale);
    let step = softplus(a_bth.clone().cast(DType::F32) + row(dt_bias), 1.0);
    [strength, step * row(a_log).exp().neg()]
}

/// Returns the RMSNorm of each head of `o_bhtv`, with the heads merged: `[b, t, h·v]`. If there is a gate,
/// multiplies the norm by `silu(gate)`, as flash-linear-attention's `FusedRMSNormGated` does. The gate has
/// the shape of the result. Stacked layers lie one after the other in the batch dimension. `weight` then
/// holds `v` values for each layer.
pub fn gated_rms_norm(
    o_bhtv: Tensor<4>,
    gate_btd: Option<Tensor<3>>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> Tensor<3> {
    let heads = o_bhtv.dims()[1];
    match gate_btd {
        #[cfg(feature = "cuda")]
        Some(gate) if has_cuda_kernels(&o_bhtv) => cuda::gated_rms_norm(o_bhtv, gate, weight, epsilon),
        Some(gate) => merge_heads(silu_mul(split_heads(gate, heads), rms_norm(o_bhtv, weight, epsilon))),
        None => merge_heads(rms_norm(o_bhtv, weight, epsilon)),
    }
}
