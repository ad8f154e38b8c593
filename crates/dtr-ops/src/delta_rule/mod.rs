//! The gated delta rule (Gated DeltaNet, arXiv 2412.06464): `S ← exp(g) S`, `u = β (v − Sᵀ k)`,
//! `S ← S + k uᵀ`, `o = K^(-1/2) Sᵀ q`. `S` is the state, and `K` is the key width.
//!
//! Keys must be l2-normalised, and `β` must be at most 2. Otherwise the recurrence can diverge.
//!
//! The *WY form* (arXiv 2406.06484) computes a chunk of tokens with matrix products. The updates `u` of all
//! tokens of the chunk are the solution of one triangular system.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor};

use crate::chunks::{Chunks, cumulative_sum, initial_state, merge_chunks};
use crate::heads::repeat_heads;
use crate::kernel_support::has_cpu_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::has_cuda_linear_attention_kernels;
use crate::norm::l2_norm;
use crate::triangular::unit_triangular_inverse;

/// Computes the gated delta rule, starting from `state_bhkv` (zeros if none). `beta_bht` holds the write
/// strengths, and `g_bht` the log decays (≤ 0). This function l2-normalises `q_bhtk` and `k_bgtk`. Query head
/// `i` uses key/value head `i / (h / g)`, where `h` and `g` are the numbers of query and key/value heads.
///
/// Returns the output, `[b, h, t, v]`, and the state after the last token, `[b, h, k, v]`. If the inputs are
/// on an autodiff graph on a CUDA device, no state may be given, and the returned state must not be read.
pub fn gated_delta_rule(
    [q_bhtk, k_bgtk, v_bgtv]: [Tensor<4>; 3],
    [beta_bht, g_bht]: [Tensor<3>; 2],
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    #[cfg(feature = "cuda")]
    if has_cuda_linear_attention_kernels(&q_bhtk, &v_bgtv) {
        return cuda::gated_delta_rule([q_bhtk, k_bgtk, v_bgtv], [beta_bht, g_bht], state_bhkv);
    }
    let repeats = q_bhtk.dims()[1] / k_bgtk.dims()[1];
    let (q, k) = (l2_norm(q_bhtk), repeat_heads(l2_norm(k_bgtk), repeats));
    let v = repeat_heads(v_bgtv, repeats);
    match (q.dims()[2], state_bhkv) {
        (1, Some(state)) => {
            let [q, k, v] = [q, k, v].map(|x| x.squeeze_dim::<3>(2));
            let [beta, g] = [beta_bht, g_bht].map(|x| x.squeeze_dim::<2>(2));
            let (output, state) = gated_delta_step(q, k, v, beta, g, state);
            (output.unsqueeze_dim::<4>(2), state)
        }
        (_, state) => normalised_gated_delta_rule(q, k, v, beta_bht, g_bht, state),
    }
}

/// Computes the recurrence of [`gated_delta_rule`]. The caller must l2-normalise queries and keys. There must
/// be as many key/value heads as query heads.
///
/// Returns the output, `[b, h, t, v]`, and the state after the last token, `[b, h, k, v]`.
pub fn normalised_gated_delta_rule(
    q_bhtk: Tensor<4>,
    k_bhtk: Tensor<4>,
    v_bhtv: Tensor<4>,
    beta_bht: Tensor<3>,
    g_bht: Tensor<3>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    if has_cpu_kernels(&q_bhtk) {
        cpu::normalised_gated_delta_rule([q_bhtk, k_bhtk, v_bhtv], [beta_bht, g_bht], state_bhkv)
    } else {
        chunk_gated_delta(q_bhtk, k_bhtk, v_bhtv, beta_bht, g_bht, state_bhkv)
    }
}

/// Computes [`normalised_gated_delta_rule`] chunk by chunk, in the WY form (see the [module](self)).
fn chunk_gated_delta(
    q_bhtk: Tensor<4>,
    k_bhtk: Tensor<4>,
    v_bhtv: Tensor<4>,
    beta_bht: Tensor<3>,
    g_bht: Tensor<3>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, time, key_width] = q_bhtk.dims();
    let value_width = v_bhtv.dims()[3];
    let chunks = Chunks::new(time);
    let q = chunks.split(q_bhtk.mul_scalar((key_width as f64).powf(-0.5)));
    let k = chunks.split(k_bhtk);
    let v = chunks.split(v_bhtv);
    let beta = chunks.split(beta_bht.unsqueeze_dim::<4>(3));
    let decay = cumulative_sum(chunks.split(g_bht.unsqueeze_dim::<4>(3)));

    let ratio = decay_ratio(&decay);
    let overlap = k.clone().matmul(k.clone().transpose());
    let n = strictly_lower(overlap * ratio.clone() * beta.clone());
    let inverse = unit_triangular_inverse(&n);
    let values = inverse.clone().matmul(v * beta.clone());
    let erasers = inverse.matmul(k.clone() * (beta * decay.clone().exp()));
    let scores = q.clone().matmul(k.clone().transpose()) * ratio;
    let last = decay.clone().narrow(2, chunks.len - 1, 1);
    let queries = q * decay.clone().exp();
    let writers = (k * (last.clone() - decay).exp()).transpose();
    let keep = last.exp();

    let mut state = initial_state(state_bhkv, [batch * heads, 1, key_width, value_width], &scores);
    let mut outputs = Vec::with_capacity(chunks.count);
    for index in 0..chunks.count {
        let at = |x: &Tensor<4>| x.clone().narrow(1, index, 1);
        let updates = at(&values) - at(&erasers).matmul(state.clone());
        outputs.push(at(&queries).matmul(state.clone()) + at(&scores).matmul(updates.clone()));
        state = state * at(&keep) + at(&writers).matmul(updates);
    }
    let output = merge_chunks(outputs, [batch, heads, time, value_width]);
    (output, state.reshape([batch, heads, key_width, value_width]))
}

/// Returns the matrix `L`, `[x, n, c, c]`: `L[i, j] = exp(Γ[i] − Γ[j])` for `i ≥ j`, and 0 otherwise. `Γ` are
/// the cumulative log decays `decay`, `[x, n, c, 1]`.
///
/// Masks the exponents instead of the result. Above the diagonal, an exponent can be so large that `exp`
/// overflows. The gradient would then be NaN, even if the result were masked.
fn decay_ratio(decay: &Tensor<4>) -> Tensor<4> {
    let len = decay.dims()[2];
    let difference = decay.clone() - decay.clone().transpose();
    let above = Tensor::<2, Bool>::tril_mask([len, len], 0, &decay.device());
    let above = above.reshape([1, 1, len, len]).expand(difference.dims());
    difference.mask_fill(above, f32::NEG_INFINITY).exp()
}

/// Returns `x` with zeros on and above the diagonal.
fn strictly_lower(x: Tensor<4>) -> Tensor<4> {
    let [_, _, len, _] = x.dims();
    let mask = Tensor::<2, Bool>::tril_mask([len, len], -1, &x.device());
    let mask = mask.reshape([1, 1, len, len]).expand(x.dims());
    x.mask_fill(mask, 0.0)
}

/// Computes one token. Returns its output, `[b, h, v]`, and the next state.
fn gated_delta_step(
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
