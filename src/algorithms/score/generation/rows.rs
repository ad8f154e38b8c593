//! The number of texts that a scorer generates at once.

use dtr_model::Decoder;
use dtr_ops::is_cpu;

/// The number of texts that are generated at once on a CPU.
const CPU_ROWS: usize = 16;

/// The maximum number of texts that are generated at once on a GPU.
const MAX_GPU_ROWS: usize = 256;

/// The maximum size of the KV caches on a GPU, in bytes.
const MAX_GPU_CACHE_BYTES: usize = 1 << 34;

/// Returns the number of texts that are generated at once on the device of `base`. A text and its prompt have
/// at most `max_length` tokens.
pub(super) fn generation_rows(base: &Decoder, max_length: usize) -> usize {
    if is_cpu(&base.device()) {
        return CPU_ROWS;
    }
    let config = &base.config;
    let token_bytes = 2 * config.num_layers * config.num_kv_heads * config.head_dim * base.dtype().size();
    (MAX_GPU_CACHE_BYTES / (token_bytes * max_length).max(1)).clamp(1, MAX_GPU_ROWS)
}
