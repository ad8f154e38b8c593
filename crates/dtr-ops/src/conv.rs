//! Short causal depthwise convolutions, static and dynamic, with the state that decoding carries.

use burn::tensor::{Tensor, activation::silu};

#[cfg(feature = "cuda")]
use super::native::{Native, blocks, native};

/// The last `width − 1` raw inputs of a convolution, `[b, width − 1, d]`.
pub type ConvState = Tensor<3>;

/// Puts the state (zeros if none) before `x_btd` and returns it with the state after it.
fn extend(x_btd: Tensor<3>, width: usize, state: Option<ConvState>) -> (Tensor<3>, ConvState) {
    let [batch, time, channels] = x_btd.dims();
    let past = state
        .unwrap_or_else(|| Tensor::zeros([batch, width - 1, channels], (&x_btd.device(), x_btd.dtype())));
    let extended = Tensor::cat(vec![past, x_btd], 1);
    let next = extended.clone().narrow(1, time, width - 1);
    (extended, next)
}

/// `silu` of [`short_conv`], and the next state.
pub fn swish_conv(
    x_btd: Tensor<3>,
    weight_dw: &Tensor<2>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    #[cfg(feature = "cuda")]
    if native(&x_btd) == Some(Native::Cuda) {
        return blocks::conv(x_btd, weight_dw.clone(), state);
    }
    let (y, next) = short_conv(x_btd, weight_dw, state);
    (silu(y), next)
}

/// `silu` of [`dynamic_conv`], and the next state.
pub fn swish_dynamic_conv(
    x_btd: Tensor<3>,
    kernels_btdw: Tensor<4>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    #[cfg(feature = "cuda")]
    if native(&x_btd) == Some(Native::Cuda) {
        return blocks::conv(x_btd, kernels_btdw, state);
    }
    let (y, next) = dynamic_conv(x_btd, &kernels_btdw, state);
    (silu(y), next)
}

/// `y[t, d] = Σ_w weight[d, w] · x[t − W + 1 + w, d]` for `x_btd` and `weight_dw`; the last tap is the
/// current token.
pub fn short_conv(
    x_btd: Tensor<3>,
    weight_dw: &Tensor<2>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    let [channels, width] = weight_dw.dims();
    let time = x_btd.dims()[1];
    let (extended, next) = extend(x_btd, width, state);
    let taps = (0..width).map(|tap| {
        let weight = weight_dw.clone().narrow(1, tap, 1).reshape([1, 1, channels]);
        extended.clone().narrow(1, tap, time) * weight
    });
    (sum(taps), next)
}

/// The same with a kernel for every token, `kernels_btdw` (JetBlock's dynamic convolution).
pub fn dynamic_conv(
    x_btd: Tensor<3>,
    kernels_btdw: &Tensor<4>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    let [_, time, _, width] = kernels_btdw.dims();
    let (extended, next) = extend(x_btd, width, state);
    let taps = (0..width).map(|tap| {
        let kernel = kernels_btdw.clone().narrow(3, tap, 1).squeeze_dim::<3>(3);
        extended.clone().narrow(1, tap, time) * kernel
    });
    (sum(taps), next)
}

fn sum(terms: impl Iterator<Item = Tensor<3>>) -> Tensor<3> {
    terms.reduce(|total, term| total + term).expect("a convolution has at least one tap")
}
