//! Short causal depthwise convolutions followed by SiLU. All tokens share one convolution kernel, or each
//! token has its own kernel. In decoding, the state that is passed from step to step holds the last inputs.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod tests;

use burn::tensor::{Int, Tensor, TensorData, activation::silu};

use crate::linear::broadcast_row;

#[cfg(feature = "cuda")]
use crate::kernel_support::has_cuda_kernels;

/// The last `width − 1` inputs of a convolution, `[b, width − 1, d]`.
pub type ConvState = Tensor<3>;

/// Computes the causal convolution of `x_btd` with `weight_dw`, followed by SiLU:
/// `y[t, d] = silu(Σ_w weight[d, w] · x[t − W + 1 + w, d])`, where `W` is the width of the kernel. Returns
/// `y`, and the state after the last token. Without a state, the inputs before the first token are zeros.
///
/// For a stack of `l` layers, the weight is `[l·d, w]` and holds the weight of each layer.
pub fn causal_conv_silu(
    x_btd: Tensor<3>,
    weight_dw: &Tensor<2>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x_btd) {
        return cuda::conv_silu(x_btd, weight_dw.clone(), state);
    }
    let (y, next) = causal_conv(x_btd, weight_dw, state);
    (silu(y), next)
}

/// Computes [`causal_conv_silu`] with a kernel for each token, `kernels_btdw` (JetBlock's dynamic
/// convolution, arXiv 2508.15884).
pub fn dynamic_conv_silu(
    x_btd: Tensor<3>,
    kernels_btdw: Tensor<4>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x_btd) {
        return cuda::conv_silu(x_btd, kernels_btdw, state);
    }
    let (y, next) = dynamic_conv(x_btd, &kernels_btdw, state);
    (silu(y), next)
}

/// Returns the state of a convolution after the first `lengths[row]` tokens of each row of `x_btd`: the last
/// `num_inputs` inputs. The convolution has no state before the first token.
pub fn conv_state_after(x_btd: Tensor<3>, num_inputs: usize, lengths: &[usize]) -> ConvState {
    let [batch, _, channels] = x_btd.dims();
    let is_short = lengths.iter().any(|&length| length < num_inputs);
    let (x_btd, num_zeros) = match is_short {
        true => (prepend_state(x_btd, num_inputs + 1, None).0, num_inputs),
        false => (x_btd, 0),
    };
    let time = x_btd.dims()[1];
    let first = |row: usize, length: usize| row * time + num_zeros + length - num_inputs;
    let rows = lengths.iter().enumerate().flat_map(|(row, &length)| {
        let first = first(row, length) as i32;
        first..first + num_inputs as i32
    });
    let indices: Vec<i32> = rows.collect();
    let size = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [size]), &x_btd.device());
    x_btd.reshape([batch * time, channels]).select(0, indices).reshape([batch, num_inputs, channels])
}

/// Computes the causal convolution as a sum over its taps. The last tap multiplies the current token.
fn causal_conv(x_btd: Tensor<3>, weight_dw: &Tensor<2>, state: Option<ConvState>) -> (Tensor<3>, ConvState) {
    let width = weight_dw.dims()[1];
    let time = x_btd.dims()[1];
    let (extended, next) = prepend_state(x_btd, width, state);
    let taps = (0..width).map(|tap| {
        let inputs = extended.clone().narrow(1, tap, time);
        let weight = broadcast_row(&weight_dw.clone().narrow(1, tap, 1).squeeze_dim(1), &inputs);
        inputs * weight
    });
    (sum(taps), next)
}

/// Computes [`causal_conv`] with a kernel for each token.
fn dynamic_conv(
    x_btd: Tensor<3>,
    kernels_btdw: &Tensor<4>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    let [_, time, _, width] = kernels_btdw.dims();
    let (extended, next) = prepend_state(x_btd, width, state);
    let taps = (0..width).map(|tap| {
        let kernel = kernels_btdw.clone().narrow(3, tap, 1).squeeze_dim::<3>(3);
        extended.clone().narrow(1, tap, time) * kernel
    });
    (sum(taps), next)
}

/// Prepends the state to `x_btd`. Without a state, prepends zeros. Returns the result and the next state.
fn prepend_state(x_btd: Tensor<3>, width: usize, state: Option<ConvState>) -> (Tensor<3>, ConvState) {
    let [batch, time, channels] = x_btd.dims();
    let past = state
        .unwrap_or_else(|| Tensor::zeros([batch, width - 1, channels], (&x_btd.device(), x_btd.dtype())));
    let extended = Tensor::cat(vec![past, x_btd], 1);
    let next = extended.clone().narrow(1, time, width - 1);
    (extended, next)
}

fn sum(terms: impl Iterator<Item = Tensor<3>>) -> Tensor<3> {
    terms.reduce(|total, term| total + term).expect("a convolution has at least one tap")
}
