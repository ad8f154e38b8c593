//! The reference implementation of causal attention, one query at a time. Tests compare all other
//! implementations with this one.

use burn::tensor::Tensor;

/// Returns `softmax(q kᵀ / sqrt(width)) v`. There are as many key/value heads as query heads, and no past
/// tokens.
pub fn attention(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> Tensor<4> {
    let [_, _, time, width] = q.dims();
    let rows = (0..time).map(|query| {
        let keys = k.clone().narrow(2, 0, query + 1);
        let queries = q.clone().narrow(2, query, 1);
        let scores = queries.matmul(keys.swap_dims(2, 3)).mul_scalar((width as f64).powf(-0.5));
        let highest = scores.clone().max_dim(3);
        let weights = (scores - highest).exp();
        let total = weights.clone().sum_dim(3);
        (weights / total).matmul(v.clone().narrow(2, 0, query + 1))
    });
    Tensor::cat(rows.collect(), 2)
}
