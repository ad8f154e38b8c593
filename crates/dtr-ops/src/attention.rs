//! Softmax attention with grouped key/value heads, causal, over a cache.

use std::sync::OnceLock;

#[cfg(feature = "cuda")]
use burn::tensor::DType;
use burn::tensor::{Bool, Device, Tensor, TensorData, activation::softmax};

use super::cache::KvCache;
use super::counter::PositionCounter;
use super::native::{Native, inference, native_frozen};
#[cfg(feature = "cuda")]
use super::native::{blocks, native};

/// Which keys each query may see.
#[derive(Clone)]
pub struct CausalMask {
    time: usize,
    past: usize,
    /// The first key that each row may see.
    first: Option<Vec<usize>>,
    /// Where the device counts positions: the query's own.
    at: Option<PositionCounter>,
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
        Self { time, past, first, at: None, device, is_tracked: false, hidden: OnceLock::new() }
    }

    /// One query at the position that the device has counted to, which sees every key up to its own.
    pub fn at_counter(counter: &PositionCounter, device: &Device) -> Self {
        Self { at: Some(counter.clone()), ..Self::new(1, 0, None, device) }
    }

    /// The same mask for tensors on an autodiff graph.
    pub fn autodiff(&self) -> Self {
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

/// `softmax(q kᵀ / sqrt(k)) v` for `q_bhtk` and the `cache` of all tokens, `[b, h, t, k]`; the last query stands at the
/// last token.
///
/// The queries that share a key/value head are stacked as rows, so that nothing is repeated.
pub fn attention(q_bhtk: Tensor<4>, cache: &KvCache, mask: &CausalMask) -> Tensor<4> {
    let (keys, values) = cache.whole();
    if let Some(at) = &mask.at {
        return at.attention(q_bhtk, (keys, values));
    }
    if [&q_bhtk, &keys, &values].iter().all(|x| serves(x)) {
        inference::attention(q_bhtk, keys, values, cache.num_tokens(), mask.first.clone())
    } else {
        let (keys, values) = cache.tokens();
        attention_by_scores(q_bhtk, keys, values, mask)
    }
}

/// Whether the device has a kernel of attention for tensors like these: on CUDA devices for widths that are multiples of 16.
fn serves(x_bhtk: &Tensor<4>) -> bool {
    match native_frozen(x_bhtk) {
        Some(Native::Processor) => true,
        #[cfg(feature = "cuda")]
        Some(Native::Cuda) => x_bhtk.dims()[3].is_multiple_of(16) && x_bhtk.dims()[3] <= 256,
        None => false,
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
    let weights = weights.reshape([batch, groups, shared * time, keys]);
    products(weights, v_bgsk.transpose()).reshape([batch, heads, time, width])
}

/// `softmax(q kᵀ / sqrt(k))` for `q_bhtk` and `k_bgsk`: how each query divides itself over keys, `[b, h, t, s]`.
pub fn attention_weights(q_bhtk: Tensor<4>, k_bgsk: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    let [batch, heads, time, width] = q_bhtk.dims();
    let [_, groups, keys, _] = k_bgsk.dims();
    let queries =
        q_bhtk.mul_scalar((width as f64).powf(-0.5)).reshape([batch, groups, heads / groups * time, width]);
    let scores = products(queries, k_bgsk).reshape([batch, heads, time, keys]);
    let seen = match mask.hidden() {
        Some(hidden) => scores.mask_fill(expand_rows(hidden, [batch, heads, time, keys]), f32::NEG_INFINITY),
        None => scores,
    };
    softmax(seen, 3)
}

/// `a · bᵀ` of the last two dimensions.
fn products(a_bgrk: Tensor<4>, b_bgck: Tensor<4>) -> Tensor<4> {
    // In f32 burn would multiply by the tensor cores of a GPU, to ten bits.
    #[cfg(feature = "cuda")]
    if native(&a_bgrk) == Some(Native::Cuda) && a_bgrk.dtype() == DType::F32 {
        return blocks::project(a_bgrk, b_bgck);
    }
    a_bgrk.matmul(b_bgck.transpose())
}

fn expand_rows(mask: &Tensor<4, Bool>, shape: [usize; 4]) -> Tensor<4, Bool> {
    mask.clone().expand(shape)
}
