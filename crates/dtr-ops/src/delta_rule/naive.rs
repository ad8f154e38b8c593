//! The reference implementation of the gated delta rule: its recurrence, token by token. Tests compare the
//! values and gradients of every other form with this form.

use burn::tensor::Tensor;

/// Returns the outputs, `[b, h, t, v]`, and the last state, `[b, h, k, v]`. For each token, computes
/// `S ← exp(g) S`, `u = β (v − Sᵀ k)`, `S ← S + k uᵀ`, `o = K^(-1/2) Sᵀ q`, where `S` is the state and `K`
/// the key width.
///
/// Tensors may have any dtype. `k` and `v` have as many heads as `q`. `beta` and `g` are `[b, h, t, 1]`.
pub fn gated_delta(
    q: &Tensor<4>,
    k: &Tensor<4>,
    v: &Tensor<4>,
    beta: &Tensor<4>,
    g: &Tensor<4>,
    mut state: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let scale = (q.dims()[3] as f64).powf(-0.5);
    let mut outputs = Vec::new();
    for time in 0..q.dims()[2] {
        let at = |x: &Tensor<4>| x.clone().narrow(2, time, 1);
        state = state * at(g).exp();
        let update = (at(v) - at(k).matmul(state.clone())) * at(beta);
        state = state + at(k).swap_dims(2, 3).matmul(update);
        outputs.push(at(q).mul_scalar(scale).matmul(state.clone()));
    }
    (Tensor::cat(outputs, 2), state)
}
