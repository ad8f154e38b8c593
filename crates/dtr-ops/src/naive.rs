//! The recurrences token by token: the ground truth that the chunkwise forms are tested against.
//!
//! Written from the recurrences alone, over whatever dtype comes in (tests use f64), and
//! differentiable, so that gradients have an oracle too.

use burn::tensor::Tensor;

fn at(x_bhtk: &Tensor<4>, time: usize) -> Tensor<4> {
    x_bhtk.clone().narrow(2, time, 1)
}

/// `S ← diag(exp(gk)) S + k vᵀ`, `o = K^(-1/2) Sᵀ q`, token by token.
pub fn gla(
    q: &Tensor<4>,
    k: &Tensor<4>,
    v: &Tensor<4>,
    gk: &Tensor<4>,
    state: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let scale = (q.dims()[3] as f64).powf(-0.5);
    let mut state = state;
    let mut outputs = Vec::new();
    for time in 0..q.dims()[2] {
        let keep = at(gk, time).exp().swap_dims(2, 3);
        state = state * keep + at(k, time).swap_dims(2, 3).matmul(at(v, time));
        outputs.push(at(q, time).mul_scalar(scale).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}

/// `S ← exp(g) S`, `u = β (v − Sᵀ k)`, `S ← S + k uᵀ`, `o = K^(-1/2) Sᵀ q`, token by token, for
/// `beta` and `g` of shape `[b, h, t, 1]`.
pub fn gated_delta(
    q: &Tensor<4>,
    k: &Tensor<4>,
    v: &Tensor<4>,
    beta: &Tensor<4>,
    g: &Tensor<4>,
    state: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let scale = (q.dims()[3] as f64).powf(-0.5);
    let mut state = state;
    let mut outputs = Vec::new();
    for time in 0..q.dims()[2] {
        state = state * at(g, time).exp();
        let update = (at(v, time) - at(k, time).matmul(state.clone())) * at(beta, time);
        state = state + at(k, time).swap_dims(2, 3).matmul(update);
        outputs.push(at(q, time).mul_scalar(scale).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}

/// `softmax(q kᵀ / sqrt(k)) v` with every query seeing keys up to its own, one query at a time.
pub fn attention(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> Tensor<4> {
    let [_, _, time, width] = q.dims();
    let rows = (0..time).map(|query| {
        let keys = k.clone().narrow(2, 0, query + 1);
        let scores = at(q, query).matmul(keys.swap_dims(2, 3)).mul_scalar((width as f64).powf(-0.5));
        let highest = scores.clone().max_dim(3);
        let weights = (scores - highest).exp();
        let total = weights.clone().sum_dim(3);
        (weights / total).matmul(v.clone().narrow(2, 0, query + 1))
    });
    Tensor::cat(rows.collect(), 2)
}
