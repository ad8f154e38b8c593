//! Forward passes of frozen layers.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use dtr_kernels::{AttentionInputs, attention_forward};

use super::{like, values};
use crate::ops::native::frozen::Frozen;

impl Frozen for Flex {
    fn frozen_attention(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        keys: usize,
        first: Option<Vec<usize>>,
    ) -> FlexTensor {
        let (queries, cache) = (q.shape(), k.shape());
        let [q, k, v] = [q, k, v].map(|tensor| tensor.to_contiguous());
        let outputs = attention_forward(AttentionInputs {
            batch: queries[0],
            heads: queries[1],
            groups: cache[1],
            time: queries[2],
            keys,
            room: cache[2],
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
