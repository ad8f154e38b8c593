//! Gated linear attention (arXiv 2312.06635): linear attention with a decay for each key channel.
//!
//! `S ← diag(exp(gk)) S + k vᵀ`, `o = K^(-1/2) Sᵀ q`, where `S` is the state and `K` the key width. The
//! output of a token reads the state after the token's own update.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use crate::chunks::{Chunks, cumulative_sum, initial_state, merge_chunks};
use crate::heads::repeat_heads;
use crate::kernel_support::has_cpu_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::has_cuda_linear_attention_kernels;
use crate::triangular::{merge_blocks, split_row_halves};

/// Computes gated linear attention over `q_bhtk`, `k_bgtk`, `v_bgtv` and log decays `gk_bgtk` (≤ 0), starting
/// from `state_bhkv` (zeros if `None`). Query head `i` uses key/value head `i / (h / g)`, where `h` and `g`
/// are the numbers of query and key/value heads.
///
/// Returns the output, `[b, h, t, v]`, and the state after the last token, `[b, h, k, v]`. If the inputs are
/// on an autodiff graph on a CUDA device, no state may be given, and the returned state must not be read.
pub fn gla(
    q_bhtk: Tensor<4>,
    k_bgtk: Tensor<4>,
    v_bgtv: Tensor<4>,
    gk_bgtk: Tensor<4>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    #[cfg(feature = "cuda")]
    if has_cuda_linear_attention_kernels(&q_bhtk, &v_bgtv) {
        return cuda::gla([q_bhtk, k_bgtk, v_bgtv, gk_bgtk], state_bhkv);
    }
    let repeats = q_bhtk.dims()[1] / k_bgtk.dims()[1];
    let [k_bhtk, v_bhtv, gk_bhtk] = [k_bgtk, v_bgtv, gk_bgtk].map(|x| repeat_heads(x, repeats));
    match (q_bhtk.dims()[2], state_bhkv) {
        (1, Some(state)) => {
            let [q, k, v, gk] = [q_bhtk, k_bhtk, v_bhtv, gk_bhtk].map(|x| x.squeeze_dim::<3>(2));
            let (output, state) = gla_step(q, k, v, gk, state);
            (output.unsqueeze_dim::<4>(2), state)
        }
        (_, state) if has_cpu_kernels(&q_bhtk) => cpu::gla([q_bhtk, k_bhtk, v_bhtv, gk_bhtk], state),
        (_, state) => chunk_gla(q_bhtk, k_bhtk, v_bhtv, gk_bhtk, state),
    }
}

/// Computes [`gla`] chunk by chunk, with matrix products.
fn chunk_gla(
    q_bhtk: Tensor<4>,
    k_bhtk: Tensor<4>,
    v_bhtv: Tensor<4>,
    gk_bhtk: Tensor<4>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, time, key_width] = q_bhtk.dims();
    let value_width = v_bhtv.dims()[3];
    let chunks = Chunks::new(time);
    let q = chunks.split(q_bhtk.mul_scalar((key_width as f64).powf(-0.5)));
    let k = chunks.split(k_bhtk);
    let v = chunks.split(v_bhtv);
    let decay = cumulative_sum(chunks.split(gk_bhtk));

    let within_chunks = intra_chunk_attention(&q, &k, &decay).matmul(v.clone());
    let last = decay.clone().narrow(2, chunks.len - 1, 1);
    let queries = q * decay.clone().exp();
    let writes = (k * (last.clone() - decay).exp()).swap_dims(2, 3).matmul(v);
    let keep = last.exp().swap_dims(2, 3);

    let mut state = initial_state(state_bhkv, [batch * heads, 1, key_width, value_width], &writes);
    let mut outputs = Vec::with_capacity(chunks.count);
    for index in 0..chunks.count {
        let from_state = queries.clone().narrow(1, index, 1).matmul(state.clone());
        outputs.push(from_state + within_chunks.clone().narrow(1, index, 1));
        state = state * keep.clone().narrow(1, index, 1) + writes.clone().narrow(1, index, 1);
    }
    let output = merge_chunks(outputs, [batch, heads, time, value_width]);
    (output, state.reshape([batch, heads, key_width, value_width]))
}

/// Returns the matrices `A`: `A[i, j] = Σ_d q[i,d] k[j,d] exp(G[i,d] − G[j,d])` for `i ≥ j`, and 0 otherwise.
/// `decay` holds the cumulative log decays `G`.
///
/// The exponential is the product of a factor for the query and a factor for the key, both relative to a
/// reference row. For each block below the diagonal, the reference is the last of the block's key rows.
/// Neither exponent is then positive, so no factor overflows, even if the decay is strong.
fn intra_chunk_attention(q: &Tensor<4>, k: &Tensor<4>, decay: &Tensor<4>) -> Tensor<4> {
    let diagonal = (q.clone() * k.clone()).sum_dim(3).squeeze_dim::<3>(3);
    merge_blocks(diagonal, |half, _| {
        let (decay_upper, decay_lower) = split_row_halves(decay, half);
        let reference = decay_upper.clone().narrow(2, half - 1, 1);
        let queries = split_row_halves(q, half).1 * (decay_lower - reference.clone()).exp();
        let keys = split_row_halves(k, half).0 * (reference - decay_upper).exp();
        queries.matmul(keys.transpose())
    })
}

/// Computes [`gla`] of one token by the recurrence, from `q_bhk`, `k_bhk`, `v_bhv`, `gk_bhk` and
/// `state_bhkv`. Returns the output `[b, h, v]` and the next state.
fn gla_step(
    q_bhk: Tensor<3>,
    k_bhk: Tensor<3>,
    v_bhv: Tensor<3>,
    gk_bhk: Tensor<3>,
    state_bhkv: Tensor<4>,
) -> (Tensor<3>, Tensor<4>) {
    let scale = (q_bhk.dims()[2] as f64).powf(-0.5);
    let write = k_bhk.unsqueeze_dim::<4>(3) * v_bhv.unsqueeze_dim::<4>(2);
    let state = state_bhkv * gk_bhk.exp().unsqueeze_dim::<4>(3) + write;
    let output = q_bhk.mul_scalar(scale).unsqueeze_dim::<4>(2).matmul(state.clone());
    (output.squeeze_dim::<3>(2), state)
}
