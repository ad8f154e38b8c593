//! Cutting time into chunks and putting it together again.

use burn::tensor::Tensor;

/// How `time` tokens are cut: `count` chunks of `len`, the last padded with zeros.
///
/// A zero key, value, gate and write strength leaves a state as it is, so padding changes nothing.
pub(super) struct Chunks {
    pub len: usize,
    pub count: usize,
    time: usize,
}

impl Chunks {
    pub fn new(time: usize, len: usize) -> Self {
        Self { len, count: time.div_ceil(len), time }
    }

    /// `[b, h, t, k]` to `[b·h, n, c, k]`.
    pub fn split(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, heads, _, width] = x.dims();
        let missing = self.count * self.len - self.time;
        let x = if missing == 0 {
            x
        } else {
            let pad = Tensor::zeros([batch, heads, missing, width], (&x.device(), x.dtype()));
            Tensor::cat(vec![x, pad], 2)
        };
        x.reshape([batch * heads, self.count, self.len, width])
    }
}

/// Chunk outputs `[b·h, 1, c, v]` to `[b, h, t, v]`, padding dropped.
pub(super) fn merge_time(outputs: Vec<Tensor<4>>, [batch, heads, time, width]: [usize; 4]) -> Tensor<4> {
    let all = Tensor::cat(outputs, 1);
    let [_, count, len, _] = all.dims();
    all.reshape([batch, heads, count * len, width]).narrow(2, 0, time)
}

/// Inclusive sums along the rows of each chunk, as a product with a triangle of ones.
pub(super) fn cumulative(x_xnck: Tensor<4>) -> Tensor<4> {
    let len = x_xnck.dims()[2];
    let ones = Tensor::<2>::ones([len, len], (&x_xnck.device(), x_xnck.dtype())).tril(0);
    ones.reshape([1, 1, len, len]).matmul(x_xnck)
}
