//! Forward passes of frozen layers: no intermediate is written to memory, and no gradient is kept.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use dtr_kernels::{AttentionInputs, attention_forward};

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

    fn frozen_rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f64) -> FlexTensor {
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        like(dtr_kernels::rms_norm(values(&x), values(&weight), epsilon as f32), &x)
    }

    fn frozen_swish_gate(gate: FlexTensor, x: FlexTensor) -> FlexTensor {
        let [gate, x] = [gate, x].map(|tensor| tensor.to_contiguous());
        like(dtr_kernels::swish_gate(values(&gate), values(&x)), &x)
    }
}
