//! Softmax attention with grouped key/value heads, causal, over a cache.

use burn::tensor::{Bool, Device, Tensor, TensorData, activation::softmax};

use super::processor::{applies_frozen, frozen};

/// Which keys each query may see.
#[derive(Clone, Debug)]
pub struct CausalMask {
    /// True where a key is hidden, `[b or 1, 1, t, s]`.
    hidden: Tensor<4, Bool>,
    /// The first key that each row may see.
    first: Option<Vec<usize>>,
}

impl CausalMask {
    /// Query `i` stands at position `past + i` and sees keys up to its own position, except the
    /// first `left_pads[row]` of its row.
    pub fn new(time: usize, past: usize, left_pads: Option<&[usize]>, device: &Device) -> Self {
        let rows = left_pads.map_or(1, <[usize]>::len);
        let keys = past + time;
        let mut hidden = Vec::with_capacity(rows * time * keys);
        for row in 0..rows {
            let first = left_pads.map_or(0, |pads| pads[row]);
            for query in 0..time {
                let last = past + query;
                // A pad's own query sees itself: an empty row would make softmax divide by zero.
                hidden.extend((0..keys).map(|key| key > last || (key < first && key != last)));
            }
        }
        let data = TensorData::new(hidden, [rows, 1, time, keys]);
        Self { hidden: Tensor::from_data(data, device), first: left_pads.map(<[usize]>::to_vec) }
    }

    /// The same mask for tensors on an autodiff graph.
    pub fn tracked(&self) -> Self {
        Self { hidden: self.hidden.clone().autodiff(), first: self.first.clone() }
    }
}

/// `softmax(q kᵀ / sqrt(k)) v` for `q_bhtk`, `k_bgsk`, `v_bgsk`; returns `[b, h, t, k]`.
///
/// The queries that share a key/value head are stacked as rows, so that nothing is repeated.
pub fn attention(q_bhtk: Tensor<4>, k_bgsk: Tensor<4>, v_bgsk: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    if applies_frozen(&q_bhtk) && applies_frozen(&k_bgsk) && applies_frozen(&v_bgsk) {
        frozen::attention(q_bhtk, k_bgsk, v_bgsk, mask.first.clone())
    } else {
        attention_by_scores(q_bhtk, k_bgsk, v_bgsk, mask)
    }
}

/// [`attention`] by way of the matrix of all scores, on any device.
pub(super) fn attention_by_scores(
    q_bhtk: Tensor<4>,
    k_bgsk: Tensor<4>,
    v_bgsk: Tensor<4>,
    mask: &CausalMask,
) -> Tensor<4> {
    let [batch, heads, time, width] = q_bhtk.dims();
    let [_, groups, keys, _] = k_bgsk.dims();
    let shared = heads / groups;
    let weights = attention_weights(q_bhtk, k_bgsk, mask);
    weights.reshape([batch, groups, shared * time, keys]).matmul(v_bgsk).reshape([batch, heads, time, width])
}

/// `softmax(q kᵀ / sqrt(k))` for `q_bhtk` and `k_bgsk`: how each query divides itself over keys, `[b, h, t, s]`.
pub fn attention_weights(q_bhtk: Tensor<4>, k_bgsk: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    let [batch, heads, time, width] = q_bhtk.dims();
    let [_, groups, keys, _] = k_bgsk.dims();
    let scores = q_bhtk
        .mul_scalar((width as f64).powf(-0.5))
        .reshape([batch, groups, heads / groups * time, width])
        .matmul(k_bgsk.transpose())
        .reshape([batch, heads, time, keys]);
    softmax(scores.mask_fill(expand_rows(&mask.hidden, [batch, heads, time, keys]), f32::NEG_INFINITY), 3)
}

fn expand_rows(mask: &Tensor<4, Bool>, shape: [usize; 4]) -> Tensor<4, Bool> {
    mask.clone().expand(shape)
}
