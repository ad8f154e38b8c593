//! What is done element by element, and rows picked.

use burn::tensor::{DType, Int, Tensor, activation::sigmoid, activation::silu, activation::softplus};

use super::layout::beside;
#[cfg(feature = "cuda")]
use super::native::{Native, blocks, elements, native, native_frozen};
use super::norm::rms_norm;

/// `a + b`.
pub fn sum(a_btd: Tensor<3>, b_btd: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if native_frozen(&a_btd) == Some(Native::Cuda) && native_frozen(&b_btd).is_some() {
        return elements::sum(a_btd, b_btd);
    }
    a_btd + b_btd
}

/// `x + residual`, and its RMSNorm.
pub fn sum_and_norm(
    x_btd: Tensor<3>,
    residual_btd: Tensor<3>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> (Tensor<3>, Tensor<3>) {
    #[cfg(feature = "cuda")]
    if native_frozen(&x_btd) == Some(Native::Cuda) && native_frozen(weight).is_some() {
        return elements::sum_and_norm(x_btd, residual_btd, weight, epsilon);
    }
    let sum = x_btd + residual_btd;
    (sum.clone(), rms_norm(sum, weight, epsilon))
}

/// `silu(x)`.
pub fn swish<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "cuda")]
    if native_frozen(&x) == Some(Native::Cuda) {
        return elements::swish(x);
    }
    #[cfg(feature = "cuda")]
    if native(&x) == Some(Native::Cuda) {
        return blocks::swish(x);
    }
    silu(x)
}

/// Gates `[b, t, h]` of the gated delta rule in f32: write strengths `scale · sigmoid(b)` and log decays
/// `−exp(a_log) · softplus(a + dt_bias)`.
pub fn delta_gates(
    [a_bth, b_bth]: [Tensor<3>; 2],
    [a_log, dt_bias]: [&Tensor<1>; 2],
    scale: f64,
) -> [Tensor<3>; 2] {
    #[cfg(feature = "cuda")]
    if native_frozen(&a_bth) == Some(Native::Cuda) && native_frozen(a_log).is_some() {
        return elements::delta_gates([a_bth, b_bth], [a_log, dt_bias], scale);
    }
    let row = |x: &Tensor<1>| beside(x, &a_bth);
    let strength = sigmoid(b_bth.cast(DType::F32)).mul_scalar(scale);
    let step = softplus(a_bth.clone().cast(DType::F32) + row(dt_bias), 1.0);
    [strength, step * row(a_log).exp().neg()]
}

/// Rows of a table `[n, d]` by their numbers: `[r, d]`.
pub fn rows(table_nd: &Tensor<2>, numbers_r: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if native_frozen(table_nd) == Some(Native::Cuda) {
        return elements::rows(table_nd.clone(), numbers_r);
    }
    table_nd.clone().select(0, numbers_r)
}

/// The column of the largest number of each row, `[r]`; written over `numbers` where the device can.
pub fn largest_into(x_rn: Tensor<2>, numbers_r: Tensor<1, Int>) -> Tensor<1, Int> {
    #[cfg(feature = "cuda")]
    if native_frozen(&x_rn) == Some(Native::Cuda) {
        return elements::largest_into(x_rn, numbers_r);
    }
    let rows = numbers_r.dims();
    x_rn.argmax(1).reshape(rows)
}
