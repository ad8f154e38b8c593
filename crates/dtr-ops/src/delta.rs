//! The gated delta rule (Gated DeltaNet, arXiv 2412.06464), forget before error:
//! `S ← exp(g) S`, `u = β (v − Sᵀ k)`, `S ← S + k uᵀ`, `o = K^(-1/2) Sᵀ q`.
//!
//! Keys must be l2-normalised and β ≤ 2, else the recurrence itself diverges.

use burn::tensor::{Bool, Tensor};

use super::chunk_len;
use super::chunks::{Chunks, cumulative, merge_time};
use super::layout::repeat_heads;
use super::native::recurrence::{Rule, recur};
use super::native::{Native, native};
#[cfg(feature = "cuda")]
use super::native::{blocks, serves};
use super::norm::l2_norm;
use super::triangle::unit_triangle_inverse;

/// The rule as blocks have it: over queries `q_bhtk` and keys `k_bgtk`, both l2-normalised here, values `v_bgtv`, write strengths
/// `beta_bht` and log decays `g_bht`; one recurrent step where a single token continues a state. Query head `i` goes with
/// key/value head `i / (h / g)`.
pub fn delta_rule(
    [q_bhtk, k_bgtk, v_bgtv]: [Tensor<4>; 3],
    [beta_bht, g_bht]: [Tensor<3>; 2],
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    #[cfg(feature = "cuda")]
    if native(&q_bhtk) == Some(Native::Cuda) && serves(&q_bhtk, &v_bgtv) {
        return blocks::delta_rule([q_bhtk, k_bgtk, v_bgtv], [beta_bht, g_bht], state_bhkv);
    }
    let shared = q_bhtk.dims()[1] / k_bgtk.dims()[1];
    let (q, k) = (l2_norm(q_bhtk), repeat_heads(l2_norm(k_bgtk), shared));
    let v = repeat_heads(v_bgtv, shared);
    match (q.dims()[2], state_bhkv) {
        (1, Some(state)) => {
            let [q, k, v] = [q, k, v].map(|x| x.squeeze_dim::<3>(2));
            let [beta, g] = [beta_bht, g_bht].map(|x| x.squeeze_dim::<2>(2));
            let (output, state) = gated_delta_step(q, k, v, beta, g, state);
            (output.unsqueeze_dim::<4>(2), state)
        }
        (_, state) => gated_delta(q, k, v, beta_bht, g_bht, state),
    }
}

/// Over `q_bhtk`, `k_bhtk`, `v_bhtv`, write strengths `beta_bht` and log decays `g_bht` (≤ 0), from
/// `state_bhkv` (zeros if none); returns the output `[b, h, t, v]` and the state after it.
pub fn gated_delta(
    q_bhtk: Tensor<4>,
    k_bhtk: Tensor<4>,
    v_bhtv: Tensor<4>,
    beta_bht: Tensor<3>,
    g_bht: Tensor<3>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    if native(&q_bhtk) == Some(Native::Processor) {
        let gates = Tensor::stack::<4>(vec![beta_bht, g_bht], 0);
        recur(Rule::Delta, [q_bhtk, k_bhtk, v_bhtv], gates, state_bhkv)
    } else {
        gated_delta_in_chunks(q_bhtk, k_bhtk, v_bhtv, beta_bht, g_bht, state_bhkv)
    }
}

/// The chunkwise form (WY representation) of [`gated_delta`].
pub(super) fn gated_delta_in_chunks(
    q_bhtk: Tensor<4>,
    k_bhtk: Tensor<4>,
    v_bhtv: Tensor<4>,
    beta_bht: Tensor<3>,
    g_bht: Tensor<3>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, time, key_width] = q_bhtk.dims();
    let value_width = v_bhtv.dims()[3];
    let chunks = Chunks::new(time, chunk_len(time));
    let q = chunks.split(q_bhtk.mul_scalar((key_width as f64).powf(-0.5)));
    let k = chunks.split(k_bhtk);
    let v = chunks.split(v_bhtv);
    let beta = chunks.split(beta_bht.unsqueeze_dim::<4>(3));
    let decay = cumulative(chunks.split(g_bht.unsqueeze_dim::<4>(3)));

    let ratio = decay_ratio(&decay);
    let overlap = k.clone().matmul(k.clone().transpose());
    let n = strictly_lower(overlap * ratio.clone() * beta.clone());
    let inverse = unit_triangle_inverse(&n);
    let values = inverse.clone().matmul(v * beta.clone());
    let erasers = inverse.matmul(k.clone() * (beta * decay.clone().exp()));
    let scores = q.clone().matmul(k.clone().transpose()) * ratio;
    let last = decay.clone().narrow(2, chunks.len - 1, 1);
    let queries = q * decay.clone().exp();
    let writers = (k * (last.clone() - decay).exp()).transpose();
    let keep = last.exp();

    let mut state = state_bhkv.map_or_else(
        || Tensor::zeros([batch * heads, 1, key_width, value_width], (&scores.device(), scores.dtype())),
        |state| state.reshape([batch * heads, 1, key_width, value_width]),
    );
    let mut outputs = Vec::with_capacity(chunks.count);
    for index in 0..chunks.count {
        let at = |x: &Tensor<4>| x.clone().narrow(1, index, 1);
        let updates = at(&values) - at(&erasers).matmul(state.clone());
        outputs.push(at(&queries).matmul(state.clone()) + at(&scores).matmul(updates.clone()));
        state = state * at(&keep) + at(&writers).matmul(updates);
    }
    let output = merge_time(outputs, [batch, heads, time, value_width]);
    (output, state.reshape([batch, heads, key_width, value_width]))
}

/// `L[i, j] = exp(Γ[i] − Γ[j])` for `i ≥ j`, else 0, of `decay_xnc1`: `[x, n, c, c]`.
///
/// The mask is put on the exponent: a positive one above the diagonal could overflow, and its
/// gradient would be NaN however it is masked afterwards.
fn decay_ratio(decay: &Tensor<4>) -> Tensor<4> {
    let len = decay.dims()[2];
    let difference = decay.clone() - decay.clone().transpose();
    let above = Tensor::<2, Bool>::tril_mask([len, len], 0, &decay.device());
    let above = above.reshape([1, 1, len, len]).expand(difference.dims());
    difference.mask_fill(above, f32::NEG_INFINITY).exp()
}

/// Zeroes the diagonal and what is above it.
fn strictly_lower(x: Tensor<4>) -> Tensor<4> {
    let [_, _, len, _] = x.dims();
    let mask = Tensor::<2, Bool>::tril_mask([len, len], -1, &x.device());
    let mask = mask.reshape([1, 1, len, len]).expand(x.dims());
    x.mask_fill(mask, 0.0)
}

/// One token: `q_bhk`, `k_bhk`, `v_bhv`, `beta_bh`, `g_bh`, `state_bhkv` to the output `[b, h, v]`
/// and the next state.
pub fn gated_delta_step(
    q_bhk: Tensor<3>,
    k_bhk: Tensor<3>,
    v_bhv: Tensor<3>,
    beta_bh: Tensor<2>,
    g_bh: Tensor<2>,
    state_bhkv: Tensor<4>,
) -> (Tensor<3>, Tensor<4>) {
    let [batch, heads, width] = q_bhk.dims();
    let per_head = |x: Tensor<2>| x.reshape([batch, heads, 1, 1]);
    let kept = state_bhkv * per_head(g_bh.exp());
    let recalled = k_bhk.clone().unsqueeze_dim::<4>(2).matmul(kept.clone());
    let update = (v_bhv.unsqueeze_dim::<4>(2) - recalled) * per_head(beta_bh);
    let state = kept + k_bhk.unsqueeze_dim::<4>(3) * update;
    let output = q_bhk.mul_scalar((width as f64).powf(-0.5)).unsqueeze_dim::<4>(2).matmul(state.clone());
    (output.squeeze_dim::<3>(2), state)
}
