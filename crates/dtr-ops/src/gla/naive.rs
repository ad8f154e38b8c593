//! The reference implementation of gated linear attention: its recurrence, token by token. Tests compare the
//! values and gradients of every other form with this form.

use burn::tensor::Tensor;

/// Returns the outputs, `[b, h, t, v]`, and the last state, `[b, h, k, v]`. For each token, computes
/// `S ← diag(exp(gk)) S + k vᵀ`, `o = K^(-1/2) Sᵀ q`, where `S` is the state and `K` the key width.
///
/// Tensors may have any dtype. `k`, `v` and `gk` have as many heads as `q`.
pub fn gla(
    q: &Tensor<4>,
    k: &Tensor<4>,
    v: &Tensor<4>,
    gk: &Tensor<4>,
    mut state: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let scale = (q.dims()[3] as f64).powf(-0.5);
    let mut outputs = Vec::new();
    for time in 0..q.dims()[2] {
        let at = |x: &Tensor<4>| x.clone().narrow(2, time, 1);
        let keep = at(gk).exp().swap_dims(2, 3);
        state = state * keep + at(k).swap_dims(2, 3).matmul(at(v));
        outputs.push(at(q).mul_scalar(scale).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}
