//! Causal softmax attention over a cache, with grouped key/value heads.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
mod mask;
#[cfg(test)]
mod naive;
#[cfg(feature = "cuda")]
mod softmax_cuda;
#[cfg(feature = "cuda")]
mod tensor_map;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor, activation::softmax};

#[cfg(feature = "cuda")]
pub(crate) use cuda::attention_from_counter;
pub use mask::CausalMask;
#[cfg(feature = "cuda")]
use softmax_cuda::causal_softmax;
#[cfg(feature = "cuda")]
pub(crate) use tensor_map::TensorMap;

use crate::kernel_support::has_cpu_inference_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::{has_cuda_inference_kernels, has_cuda_kernels};
use crate::kv_cache::KvCache;
#[cfg(feature = "cuda")]
use crate::linear::cuda_matmul;

/// Computes attention of `q_bhtk` over the keys `k` and values `v` of all tokens in `cache`. Returns
/// `softmax(q kᵀ / sqrt(width)) v`, `[b, h, t, k]`. The last query is at the position of the last token in
/// `cache`, unless `mask` holds the positions.
pub fn attention(q_bhtk: Tensor<4>, cache: &KvCache, mask: &CausalMask) -> Tensor<4> {
    let [keys, values] = cache.buffers();
    if let Some(counter) = mask.counter() {
        return counter.attention(q_bhtk, [keys, values]);
    }
    let (num_keys, first_keys) = (cache.num_tokens(), mask.first_keys());
    if [&q_bhtk, &keys, &values].into_iter().all(has_cpu_inference_kernels) {
        let num_keys = mask.num_keys(q_bhtk.dims()[0], num_keys);
        return cpu::attention([q_bhtk, keys, values], &num_keys, first_keys);
    }
    if let Some(num_keys) = mask.max_num_keys() {
        let [keys, values] = [keys, values].map(|x| x.narrow(2, 0, num_keys));
        return attention_by_scores(q_bhtk, keys, values, mask);
    }
    #[cfg(feature = "cuda")]
    if [&q_bhtk, &keys, &values].into_iter().all(has_cuda_attention_kernels) {
        return cuda::attention([q_bhtk, keys, values], num_keys, mask.first_keys_on_device());
    }
    let (keys, values) = cache.keys_and_values();
    attention_by_scores(q_bhtk, keys, values, mask)
}

/// Returns whether a decoding step of attention with heads of this width runs only kernels of this crate on a
/// CUDA device. Only such steps can be recorded as a CUDA graph.
pub fn is_attention_recordable(width: usize) -> bool {
    width.is_multiple_of(16) && (width <= 128 || width == 256)
}

/// Returns whether the CUDA kernels support the dtype and the head width of `x_bhtk`.
#[cfg(feature = "cuda")]
fn has_cuda_attention_kernels(x_bhtk: &Tensor<4>) -> bool {
    has_cuda_inference_kernels(x_bhtk) && is_attention_recordable(x_bhtk.dims()[3])
}

/// Computes [`attention`] and stores the matrix of all scores. This form is differentiable and runs on any
/// device.
///
/// The queries that share a key/value head are stacked as rows of one matrix, so that keys are not repeated.
fn attention_by_scores(
    q_bhtk: Tensor<4>,
    k_bgsk: Tensor<4>,
    v_bgsk: Tensor<4>,
    mask: &CausalMask,
) -> Tensor<4> {
    let [batch, heads, time, width] = q_bhtk.dims();
    let [_, groups, num_keys, _] = k_bgsk.dims();
    let weights = attention_weights(q_bhtk, k_bgsk, mask);
    let weights = weights.reshape([batch, groups, heads / groups * time, num_keys]);
    matmul(weights, v_bgsk).reshape([batch, heads, time, width])
}

/// Returns the attention weights `softmax(q kᵀ / sqrt(width))` of `q_bhtk` over `k_bgsk`, `[b, h, t, s]`.
pub fn attention_weights(q_bhtk: Tensor<4>, k_bgsk: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    let [batch, heads, time, width] = q_bhtk.dims();
    let [_, groups, num_keys, _] = k_bgsk.dims();
    let queries =
        q_bhtk.mul_scalar((width as f64).powf(-0.5)).reshape([batch, groups, heads / groups * time, width]);
    let scores = matmul_transposed(queries, k_bgsk).reshape([batch, heads, time, num_keys]);
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&scores) && mask.max_num_keys().is_none() {
        return causal_softmax(scores, mask);
    }
    let visible = match mask.hidden_keys() {
        Some(hidden) => scores.mask_fill(expand(hidden, [batch, heads, time, num_keys]), f32::NEG_INFINITY),
        None => scores,
    };
    softmax(visible, 3)
}

/// Returns the matrix products `a · bᵀ` over the last two dimensions.
fn matmul_transposed(a_bgrk: Tensor<4>, b_bgck: Tensor<4>) -> Tensor<4> {
    // On a GPU, burn would multiply f32 matrices in TF32. TF32 has only ten bits of mantissa.
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&a_bgrk) {
        return cuda_matmul(a_bgrk, b_bgck, true);
    }
    a_bgrk.matmul(b_bgck.transpose())
}

/// Returns the matrix products `a · b` over the last two dimensions.
fn matmul(a_bgrc: Tensor<4>, b_bgck: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&a_bgrc) {
        return cuda_matmul(a_bgrc, b_bgck, false);
    }
    a_bgrc.matmul(b_bgck)
}

fn expand(mask: &Tensor<4, Bool>, shape: [usize; 4]) -> Tensor<4, Bool> {
    mask.clone().expand(shape)
}
