//! Gated linear attention (arXiv 2312.06635): a decay per key channel.
//!
//! Recurrence, with the output seeing the updated state:
//! `S ← diag(exp(gk)) S + k vᵀ`, `o = K^(-1/2) Sᵀ q`.

use burn::tensor::{DType, Tensor, activation::log_sigmoid};

use super::chunk_len;
use super::chunks::{Chunks, cumulative, merge_time};
use super::layout::repeat_heads;
use super::native::recurrence::{Rule, recur};
use super::native::{Native, native};
#[cfg(feature = "cuda")]
use super::native::{blocks, serves};
use super::triangle::{half_rows, merge_blocks};

/// Over `q_bhtk`, `k_bgtk`, `v_bgtv` and log decays `gk_bgtk` (≤ 0), from `state_bhkv` (zeros if none);
/// returns the output `[b, h, t, v]` and the state after it. Query head `i` goes with key/value head `i / (h / g)`.
pub fn gla(
    q_bhtk: Tensor<4>,
    k_bgtk: Tensor<4>,
    v_bgtv: Tensor<4>,
    gk_bgtk: Tensor<4>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    #[cfg(feature = "cuda")]
    if native(&q_bhtk) == Some(Native::Cuda) && serves(&q_bhtk, &v_bgtv) {
        return blocks::gla([q_bhtk, k_bgtk, v_bgtv, gk_bgtk], state_bhkv);
    }
    let shared = q_bhtk.dims()[1] / k_bgtk.dims()[1];
    let [k_bhtk, v_bhtv, gk_bhtk] = [k_bgtk, v_bgtv, gk_bgtk].map(|x| repeat_heads(x, shared));
    let in_one_pass = native(&q_bhtk) == Some(Native::Processor);
    match (in_one_pass, q_bhtk.dims()[2], state_bhkv) {
        (_, 1, Some(state)) => {
            let [q, k, v, gk] = [q_bhtk, k_bhtk, v_bhtv, gk_bhtk].map(|x| x.squeeze_dim::<3>(2));
            let (output, state) = gla_step(q, k, v, gk, state);
            (output.unsqueeze_dim::<4>(2), state)
        }
        (true, _, state) => recur(Rule::Gla, [q_bhtk, k_bhtk, v_bhtv], gk_bhtk, state),
        (false, _, state) => gla_in_chunks(q_bhtk, k_bhtk, v_bhtv, gk_bhtk, state),
    }
}

/// The chunkwise form of [`gla`].
pub(super) fn gla_in_chunks(
    q_bhtk: Tensor<4>,
    k_bhtk: Tensor<4>,
    v_bhtv: Tensor<4>,
    gk_bhtk: Tensor<4>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, time, key_width] = q_bhtk.dims();
    let value_width = v_bhtv.dims()[3];
    let chunks = Chunks::new(time, chunk_len(time));
    let q = chunks.split(q_bhtk.mul_scalar((key_width as f64).powf(-0.5)));
    let k = chunks.split(k_bhtk);
    let v = chunks.split(v_bhtv);
    let decay = cumulative(chunks.split(gk_bhtk));

    let within = intra(&q, &k, &decay).matmul(v.clone());
    let last = decay.clone().narrow(2, chunks.len - 1, 1);
    let queries = q * decay.clone().exp();
    let writes = (k * (last.clone() - decay).exp()).swap_dims(2, 3).matmul(v);
    let keep = last.exp().swap_dims(2, 3);

    let mut state = state_bhkv.map_or_else(
        || Tensor::zeros([batch * heads, 1, key_width, value_width], (&writes.device(), writes.dtype())),
        |state| state.reshape([batch * heads, 1, key_width, value_width]),
    );
    let mut outputs = Vec::with_capacity(chunks.count);
    for index in 0..chunks.count {
        let across = queries.clone().narrow(1, index, 1).matmul(state.clone());
        outputs.push(across + within.clone().narrow(1, index, 1));
        state = state * keep.clone().narrow(1, index, 1) + writes.clone().narrow(1, index, 1);
    }
    let output = merge_time(outputs, [batch, heads, time, value_width]);
    (output, state.reshape([batch, heads, key_width, value_width]))
}

/// `A[i, j] = Σ_d q[i,d] k[j,d] exp(G[i,d] − G[j,d])` for `i ≥ j`, else 0.
///
/// Blocks below the diagonal take the last row of the upper half as reference, so that both
/// exponents are ≤ 0 at every level and nothing overflows however strong the decay.
fn intra(q: &Tensor<4>, k: &Tensor<4>, decay: &Tensor<4>) -> Tensor<4> {
    let diagonal = (q.clone() * k.clone()).sum_dim(3).squeeze_dim::<3>(3);
    merge_blocks(diagonal, |half, _| {
        let (decay_upper, decay_lower) = half_rows(decay, half);
        let reference = decay_upper.clone().narrow(2, half - 1, 1);
        let queries = half_rows(q, half).1 * (decay_lower - reference.clone()).exp();
        let keys = half_rows(k, half).0 * (reference - decay_upper).exp();
        queries.matmul(keys.transpose())
    })
}

/// One token: `q_bhk`, `k_bhk`, `v_bhv`, `gk_bhk`, `state_bhkv` to the output `[b, h, v]` and the
/// next state.
pub fn gla_step(
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

/// The log decay `log_sigmoid(x) / normalizer`, in f32.
pub fn decay_gate(x_btd: Tensor<3>, normalizer: f64) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if native(&x_btd) == Some(Native::Cuda) {
        return blocks::decay_gate(x_btd, normalizer);
    }
    log_sigmoid(x_btd.cast(DType::F32)).div_scalar(normalizer)
}
