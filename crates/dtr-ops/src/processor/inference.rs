//! Forward passes of frozen layers.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use dtr_kernels::{AttentionInputs, RotaryInputs, attention_forward};

use super::{like, values};
use crate::native::inference::Frozen;

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
            kv_heads: cache[1],
            num_queries: queries[2],
            num_keys: keys,
            capacity: cache[2],
            width: queries[3],
            q: values(&q),
            k: values(&k),
            v: values(&v),
            left_pads: first.as_deref(),
        });
        like(outputs, &q)
    }

    fn frozen_rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        let [cos, sin] = [cos, sin].map(|table| table.to_contiguous());
        let (x, strides) = strided(x);
        let shape = x.shape();
        let outputs = dtr_kernels::rotary_embedding(RotaryInputs {
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
