//! Projections and the moves between `[b, t, d]` and `[b, h, t, k]`.

use burn::tensor::Tensor;

/// `x · weightᵀ + bias` with the weight as Hugging Face stores it, `[out, in]`.
pub fn linear(x_btd: Tensor<3>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Tensor<3> {
    let [batch, time, width] = x_btd.dims();
    let out = weight.dims()[0];
    let y = x_btd.reshape([batch * time, width]).matmul(weight.clone().transpose());
    let y = y.reshape([batch, time, out]);
    match bias {
        Some(bias) => y + bias.clone().reshape([1, 1, out]),
        None => y,
    }
}

/// `[b, t, h·k]` to `[b, h, t, k]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, time, width] = x.dims();
    x.reshape([batch, time, heads, width / heads]).swap_dims(1, 2)
}

/// `[b, h, t, k]` to `[b, t, h·k]`.
pub fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, time, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, time, heads * width])
}

/// Repeats each head `times` times in place, as grouped-query attention pairs them:
/// head `g` serves query heads `g·times .. (g+1)·times`.
pub fn repeat_heads(x: Tensor<4>, times: usize) -> Tensor<4> {
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
