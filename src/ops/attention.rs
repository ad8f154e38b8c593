//! Softmax attention with grouped key/value heads, causal, over a cache.

use std::sync::OnceLock;

use burn::tensor::{Bool, Device, Tensor, TensorData, activation::softmax};

use super::processor::{applies_frozen, frozen};

/// Which keys each query may see.
#[derive(Clone, Debug)]
pub struct CausalMask {
    time: usize,
    past: usize,
    /// The first key that each row may see.
    first: Option<Vec<usize>>,
    device: Device,
    is_tracked: bool,
    /// Made when it is asked for: linear layers and the kernels of a processor never do, and it is as large as context
    /// and chunk together.
    hidden: OnceLock<Tensor<4, Bool>>,
}

impl CausalMask {
    /// Query `i` stands at position `past + i` and sees keys up to its own position, except the
    /// first `left_pads[row]` of its row.
    pub fn new(time: usize, past: usize, left_pads: Option<&[usize]>, device: &Device) -> Self {
        let (first, device) = (left_pads.map(<[usize]>::to_vec), device.clone());
        Self { time, past, first, device, is_tracked: false, hidden: OnceLock::new() }
    }

    /// The same mask for tensors on an autodiff graph.
    pub fn tracked(&self) -> Self {
        Self { is_tracked: true, hidden: OnceLock::new(), ..self.clone() }
    }

    /// True where a key is hidden, `[b or 1, 1, t, s]`; none where every query sees every key.
    fn hidden(&self) -> Option<&Tensor<4, Bool>> {
        let is_seen = self.time == 1 && self.first.is_none();
        (!is_seen).then(|| self.hidden.get_or_init(|| self.make()))
    }

    fn make(&self) -> Tensor<4, Bool> {
        let rows = self.first.as_ref().map_or(1, Vec::len);
        let keys = self.past + self.time;
        let mut hidden = Vec::with_capacity(rows * self.time * keys);
        for row in 0..rows {
            let first = self.first.as_ref().map_or(0, |first| first[row]);
            for query in 0..self.time {
                let last = self.past + query;
                // A pad's own query sees itself: an empty row would make softmax divide by zero.
                hidden.extend((0..keys).map(|key| key > last || (key < first && key != last)));
            }
        }
        let hidden = Tensor::from_data(TensorData::new(hidden, [rows, 1, self.time, keys]), &self.device);
        if self.is_tracked { hidden.autodiff() } else { hidden }
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
    let seen = match mask.hidden() {
        Some(hidden) => scores.mask_fill(expand_rows(hidden, [batch, heads, time, keys]), f32::NEG_INFINITY),
        None => scores,
    };
    softmax(seen, 3)
}

fn expand_rows(mask: &Tensor<4, Bool>, shape: [usize; 4]) -> Tensor<4, Bool> {
    mask.clone().expand(shape)
}
