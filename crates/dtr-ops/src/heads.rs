//! Conversions between the layout of projections, `[b, t, h·k]`, and the layout of attention, `[b, h, t, k]`.

use burn::tensor::Tensor;

/// Splits `[b, t, h·k]` into heads, `[b, h, t, k]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, time, width] = x.dims();
    x.reshape([batch, time, heads, width / heads]).swap_dims(1, 2)
}

/// Merges the heads of `[b, h, t, k]` into `[b, t, h·k]`.
pub fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, time, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, time, heads * width])
}

/// Repeats each head `times` times, from `[b, g, t, k]` to `[b, g·times, t, k]`. The copies of a head are
/// neighbours. In grouped-query attention, query heads `i·times .. (i+1)·times` use key/value head `i`.
pub(crate) fn repeat_heads(x: Tensor<4>, times: usize) -> Tensor<4> {
    if times == 1 {
        return x;
    }
    let [batch, heads, time, width] = x.dims();
    x.reshape([batch, heads, 1, time, width]).expand([batch, heads, times, time, width]).reshape([
        batch,
        heads * times,
        time,
        width,
    ])
}
