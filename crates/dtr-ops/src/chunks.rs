//! Division of sequences into chunks, for the chunkwise forms of linear attention. A chunkwise form computes
//! the tokens of a chunk with matrix products, and passes a state from chunk to chunk.

use burn::tensor::Tensor;

/// The longest chunk, in tokens.
const MAX_CHUNK: usize = 64;

/// The division of `num_tokens` tokens into `count` chunks of `len` tokens. The last chunk is padded with
/// zeros.
///
/// Padding is harmless: a token with zero key, value, log decay and write strength leaves the state
/// unchanged.
pub(crate) struct Chunks {
    pub len: usize,
    pub count: usize,
    num_tokens: usize,
}

impl Chunks {
    /// Divides `num_tokens` tokens into chunks. The chunk length is a power of two, at most 64.
    pub fn new(num_tokens: usize) -> Self {
        let len = num_tokens.next_power_of_two().min(MAX_CHUNK);
        Self { len, count: num_tokens.div_ceil(len), num_tokens }
    }

    /// Reshapes `[b, h, t, k]` to `[b·h, n, c, k]`, and pads the last chunk with zeros.
    pub fn split(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, heads, _, width] = x.dims();
        let missing = self.count * self.len - self.num_tokens;
        let x = if missing == 0 {
            x
        } else {
            let pad = Tensor::zeros([batch, heads, missing, width], (&x.device(), x.dtype()));
            Tensor::cat(vec![x, pad], 2)
        };
        x.reshape([batch * heads, self.count, self.len, width])
    }
}

/// Joins the outputs of chunks, `[b·h, 1, c, v]` each, to `[b, h, t, v]`, and drops the padding.
pub(crate) fn merge_chunks(outputs: Vec<Tensor<4>>, [batch, heads, time, width]: [usize; 4]) -> Tensor<4> {
    let all = Tensor::cat(outputs, 1);
    let [_, count, len, _] = all.dims();
    all.reshape([batch, heads, count * len, width]).narrow(2, 0, time)
}

/// Returns the inclusive cumulative sums over the tokens of each chunk. Computes them as a product with a
/// lower-triangular matrix of ones.
pub(crate) fn cumulative_sum(x_xnck: Tensor<4>) -> Tensor<4> {
    let len = x_xnck.dims()[2];
    let ones = Tensor::<2>::ones([len, len], (&x_xnck.device(), x_xnck.dtype())).tril(0);
    ones.reshape([1, 1, len, len]).matmul(x_xnck)
}

/// Returns `state_bhkv` in the shape `shape`, which is `[b·h, 1, k, v]`. If there is no state, returns zeros
/// on the device and in the dtype of `like`.
pub(crate) fn initial_state(state_bhkv: Option<Tensor<4>>, shape: [usize; 4], like: &Tensor<4>) -> Tensor<4> {
    state_bhkv
        .map_or_else(|| Tensor::zeros(shape, (&like.device(), like.dtype())), |state| state.reshape(shape))
}
