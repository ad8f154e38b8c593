//! Forward passes of frozen layers: no intermediate is written to memory, and no gradient is kept.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// The forward passes, for tensors outside of any autodiff graph.
#[backend_extension(Flex, Cube: cfg(feature = "cuda"))]
pub trait Frozen: Backend {
    /// Causal attention; see [`attention`].
    fn frozen_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        keys: usize,
        first: Option<Vec<usize>>,
    ) -> FloatTensor<Self>;

    /// Rotary positions; see [`rotate`].
    fn frozen_rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// RMSNorm; see [`rms_norm`].
    fn frozen_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    /// Swish gate; see [`swish_gate`].
    fn frozen_swish_gate(gate: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// `softmax(q kᵀ / sqrt(k)) v` for `q_bhtk` and the first `keys` keys of `k_bgsk` and `v_bgsk`; the last query stands at
/// the last of them, and each row's queries see keys from `first[row]` on.
pub(crate) fn attention(
    q_bhtk: Tensor<4>,
    k_bgsk: Tensor<4>,
    v_bgsk: Tensor<4>,
    keys: usize,
    first: Option<Vec<usize>>,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::frozen_attention(
        q_bhtk.into_dispatch(),
        k_bgsk.into_dispatch(),
        v_bgsk.into_dispatch(),
        keys,
        first,
    ))
}

/// Turns the pairs `(x[i], x[i + k/2])` of `x_bhtk` by angles of which the cosines and sines are `[b or 1, 1, t, k/2]`.
pub(crate) fn rotate(x_bhtk: Tensor<4>, (cos, sin): &(Tensor<4>, Tensor<4>)) -> Tensor<4> {
    let [cos, sin] = [cos, sin].map(|table| table.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::frozen_rotate(x_bhtk.into_dispatch(), cos, sin))
}

/// `x / sqrt(mean(x²) + epsilon) · weight` over the last dimension.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::frozen_rms_norm(
        x.into_dispatch(),
        weight.clone().into_dispatch(),
        epsilon,
    ))
}

/// `silu(gate) · x`, element by element.
pub(crate) fn swish_gate<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::frozen_swish_gate(gate.into_dispatch(), x.into_dispatch()))
}
