//! Forward passes of frozen layers: no intermediate is written to memory, and no gradient is kept.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use dtr_kernels::{AttentionInputs, RotateInputs, attention_forward};

use super::{like, values};

/// The forward passes, for tensors outside of any autodiff graph.
#[backend_extension(Flex)]
pub trait Frozen: Backend {
    /// Causal attention; see [`attention`].
    fn frozen_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
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

/// `softmax(q kᵀ / sqrt(k)) v` for `q_bhtk`, `k_bgsk`, `v_bgsk`; the last query stands at the last key,
/// and each row's queries see keys from `first[row]` on.
pub(in crate::ops) fn attention(
    q_bhtk: Tensor<4>,
    k_bgsk: Tensor<4>,
    v_bgsk: Tensor<4>,
    first: Option<Vec<usize>>,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::frozen_attention(
        q_bhtk.into_dispatch(),
        k_bgsk.into_dispatch(),
        v_bgsk.into_dispatch(),
        first,
    ))
}

/// Turns the pairs `(x[i], x[i + k/2])` of `x_bhtk` by angles of which the cosines and sines are `[b or 1, 1, t, k/2]`.
pub(in crate::ops) fn rotate(x_bhtk: Tensor<4>, (cos, sin): &(Tensor<4>, Tensor<4>)) -> Tensor<4> {
    let [cos, sin] = [cos, sin].map(|table| table.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::frozen_rotate(x_bhtk.into_dispatch(), cos, sin))
}

/// `x / sqrt(mean(x²) + epsilon) · weight` over the last dimension.
pub(in crate::ops) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::frozen_rms_norm(
        x.into_dispatch(),
        weight.clone().into_dispatch(),
        epsilon,
    ))
}

/// `silu(gate) · x`, element by element.
pub(in crate::ops) fn swish_gate<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::frozen_swish_gate(gate.into_dispatch(), x.into_dispatch()))
}

impl Frozen for Flex {
    fn frozen_attention(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        first: Option<Vec<usize>>,
    ) -> FlexTensor {
        let (queries, keys) = (q.shape(), k.shape());
        let [q, k, v] = [q, k, v].map(|tensor| tensor.to_contiguous());
        let outputs = attention_forward(AttentionInputs {
            batch: queries[0],
            heads: queries[1],
            groups: keys[1],
            time: queries[2],
            keys: keys[2],
            width: queries[3],
            q: values(&q),
            k: values(&k),
            v: values(&v),
            first: first.as_deref(),
        });
        like(outputs, &q)
    }

    fn frozen_rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        let [cos, sin] = [cos, sin].map(|table| table.to_contiguous());
        let (x, strides) = strided(x);
        let shape = x.shape();
        let outputs = dtr_kernels::rotate(RotateInputs {
            batch: shape[0],
            heads: shape[1],
            time: shape[2],
            width: shape[3],
            x: &x.storage::<f32>()[x.layout().start_offset()..],
            strides,
            cos: values(&cos),
            sin: values(&sin),
        });
        like(outputs, &x)
    }

    fn frozen_rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f64) -> FlexTensor {
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        like(dtr_kernels::rms_norm(values(&x), values(&weight), epsilon as f32), &x)
    }

    fn frozen_swish_gate(gate: FlexTensor, x: FlexTensor) -> FlexTensor {
        let [gate, x] = [gate, x].map(|tensor| tensor.to_contiguous());
        like(dtr_kernels::swish_gate(values(&gate), values(&x)), &x)
    }
}

/// A tensor `[b, h, t, k]` whose last numbers are neighbours, and what lies between the beginnings of neighbouring rows,
/// heads and tokens: heads that a projection lays side by side stay there.
fn strided(x: FlexTensor) -> (FlexTensor, [usize; 3]) {
    let are_neighbours = x.layout().has_positive_strides() && x.layout().strides()[3] == 1;
    let x = if are_neighbours { x } else { x.to_contiguous() };
    let strides = [0, 1, 2].map(|dim| x.layout().strides()[dim].unsigned_abs());
    (x, strides)
}
