//! Attention on CPUs, without storing the matrix of scores.

use burn::tensor::Tensor;
use dtr_kernels::{AttentionInputs, attention_forward};

use crate::flex_tensors::{elements, from_flex, into_flex, tensor_like};

/// Computes attention of `q_bhtk` over cache buffers `[b, g, capacity, k]`. The cache of batch row `row`
/// holds `num_keys[row]` keys. The queries of this row see the keys from `first_keys[row]` up to their own
/// position. This form has no gradient.
pub(super) fn attention(
    [q_bhtk, k_bgsk, v_bgsk]: [Tensor<4>; 3],
    num_keys: &[usize],
    first_keys: Option<&[usize]>,
) -> Tensor<4> {
    let ([batch, heads, num_queries, width], [_, kv_heads, capacity, _]) = (q_bhtk.dims(), k_bgsk.dims());
    let [q, k, v] = [q_bhtk, k_bgsk, v_bgsk].map(|tensor| into_flex(tensor).to_contiguous());
    let outputs = attention_forward(AttentionInputs {
        batch,
        heads,
        kv_heads,
        num_queries,
        num_keys,
        capacity,
        width,
        q: elements(&q),
        k: elements(&k),
        v: elements(&v),
        left_pads: first_keys,
    });
    from_flex(tensor_like(outputs, &q))
}
