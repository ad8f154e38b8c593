//! The sizes of the forward passes in which hybrids are scored. The sizes depend on the device.

use dtr_model::{Decoder, DecoderConfig};
use dtr_ops::is_cpu;

/// The limits on the sizes of a scorer's forward passes.
///
/// On a CPU, small passes suffice to keep all threads busy. Small passes also waste the least work when a
/// candidate is pruned. On a GPU, only large passes keep the device busy, because the launch of each
/// operation has a fixed cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassLimits {
    /// The maximum number of parts of a split. A candidate may be pruned between two parts.
    pub max_parts: usize,
    /// The minimum number of tokens of a part.
    pub min_part_tokens: usize,
    /// The maximum number of tokens of a pass with one hybrid. This number limits the memory of the pass.
    pub pass_tokens: usize,
    /// The minimum number of tokens of a pass.
    pub min_pass_tokens: usize,
    /// Each part has a multiple of this number of passes, so that threads can share the passes.
    pub parallel_passes: usize,
    /// The number of threads that run passes.
    pub num_threads: usize,
    /// The maximum number of tokens of a pass with several hybrids.
    pub shared_pass_tokens: usize,
    /// A batch groups suffixes of similar lengths into blocks. One more block costs as much time as this
    /// number of padding tokens.
    pub block_overhead: usize,
    /// The maximum size of the hidden states that a scorer caches, in bytes.
    pub max_cache_bytes: usize,
}

/// The maximum size of the hidden states that a scorer caches on a CPU, in bytes.
const MAX_CPU_CACHE_BYTES: usize = 1 << 30;

/// The maximum size of the hidden states that a scorer caches on a GPU, in bytes.
const MAX_GPU_CACHE_BYTES: usize = 1 << 32;

/// The number of multiply-adds that a layer needs to keep a GPU busy. A GPU takes about a millisecond for
/// this number. A CPU thread launches the layer's operations in less time.
const MIN_LAYER_MULTIPLY_ADDS: usize = 1 << 39;

/// The maximum size of the hidden layer of an MLP in a pass with several hybrids, in bytes.
const MAX_MLP_BYTES: usize = 1 << 30;

/// Returns the maximum size of the hidden states that a scorer caches, in bytes.
pub fn max_cache_bytes(is_cpu: bool) -> usize {
    if is_cpu { MAX_CPU_CACHE_BYTES } else { MAX_GPU_CACHE_BYTES }
}

/// Returns the number of candidates that a search requests at once. On a CPU, several candidates keep all
/// threads busy, because a thread without work for one candidate goes on with the next candidate. On GPUs,
/// the candidates of each device share forward passes.
pub fn candidates_per_batch(is_cpu: bool, num_devices: usize) -> usize {
    if is_cpu { num_devices.max(4) } else { 8 * num_devices }
}

impl PassLimits {
    /// Returns the limits on the device of `base`.
    pub fn new(base: &Decoder) -> Self {
        let is_cpu = is_cpu(&base.device());
        match is_cpu {
            true => Self {
                max_parts: 12,
                min_part_tokens: 1,
                pass_tokens: 2048,
                min_pass_tokens: 48,
                parallel_passes: 2,
                num_threads: rayon::current_num_threads(),
                // Merging larger passes would not save time.
                shared_pass_tokens: 256,
                block_overhead: 32,
                max_cache_bytes: max_cache_bytes(is_cpu),
            },
            false => Self {
                max_parts: 12,
                min_part_tokens: (MIN_LAYER_MULTIPLY_ADDS / layer_weights(&base.config)).clamp(4096, 16_384),
                pass_tokens: 32_768,
                min_pass_tokens: 0,
                parallel_passes: 1,
                num_threads: 1,
                shared_pass_tokens: (MAX_MLP_BYTES / mlp_bytes(base)).clamp(65_536, 262_144),
                block_overhead: 2048,
                max_cache_bytes: max_cache_bytes(is_cpu),
            },
        }
    }

    /// Returns the number of items per part, at least 1. The split has `num_items` items and `num_tokens`
    /// tokens.
    pub fn items_per_part(&self, num_items: usize, num_tokens: usize) -> usize {
        num_items.div_ceil((num_tokens / self.min_part_tokens).clamp(1, self.max_parts)).max(1)
    }

    /// Returns the number of tokens of each pass when `num_tokens` tokens are divided into passes.
    pub fn tokens_per_pass(&self, num_tokens: usize) -> usize {
        let num_passes = num_tokens.div_ceil(self.pass_tokens).max(1).next_multiple_of(self.parallel_passes);
        num_tokens.div_ceil(num_passes).max(self.min_pass_tokens)
    }

    /// Returns how many of `num_hybrids` hybrids run through a batch of `num_tokens` tokens in one pass. A
    /// pass has as many hybrids as its size limit allows. If some threads would then have no work, a pass has
    /// fewer hybrids. All passes have about the same number of hybrids.
    pub fn hybrids_per_pass(&self, num_hybrids: usize, num_batches: usize, num_tokens: usize) -> usize {
        let per_thread = num_hybrids * num_batches / self.num_threads;
        let most = (self.shared_pass_tokens / num_tokens).min(per_thread).max(1);
        num_hybrids.div_ceil(num_hybrids.div_ceil(most))
    }
}

/// Returns the number of weights in the matrices of a layer. Each token takes this number of multiply-adds.
fn layer_weights(config: &DecoderConfig) -> usize {
    let heads = 2 * config.num_heads + 2 * config.num_kv_heads;
    config.hidden_size * (heads * config.head_dim + 3 * config.intermediate_size)
}

/// Returns the number of bytes that one token takes in the hidden layer of an MLP.
fn mlp_bytes(base: &Decoder) -> usize {
    base.config.intermediate_size * base.dtype().size()
}
