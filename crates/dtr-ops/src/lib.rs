//! Numeric primitives in burn tensors, each over any device; a processor and CUDA devices compute most of them by
//! kernels of their own (`native`).
//!
//! Shape letters: `b` batch, `t` time, `s` key positions (past and present), `h` query heads,
//! `g` key/value heads, `k` key width, `v` value width, `d` model width, `c` chunk, `n` chunks,
//! `x` batch times heads. Names of tensors end in their shape: `q_bhtk`.

#![warn(missing_docs)]

mod adamw;
mod attention;
mod cache;
mod chunks;
mod conv;
mod counter;
#[cfg(feature = "cuda")]
mod cuda;
mod delta;
mod devices;
mod elements;
mod gla;
mod layout;
mod loss;
mod native;
mod norm;
mod processor;
mod rope;
mod triangle;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

pub use adamw::{AdamWStep, WeightDecay, adamw as adamw_step, sum_of_squares};
pub use attention::{CausalMask, attention, attention_weights};
pub use cache::KvCache;
pub use conv::{ConvState, swish_conv as causal_conv_silu, swish_dynamic_conv as dynamic_conv_silu};
pub use counter::{PositionCounter, RecordedStep};
pub use delta::{delta_rule as gated_delta_rule, gated_delta as gated_delta_recurrence};
#[cfg(feature = "cuda")]
pub use devices::{cuda_devices, lacking_for_gpus as missing_cuda_requirements};
pub use devices::{exclusively as run_on_device_thread, is_cpu, short_dtype as preferred_dtype};
pub use elements::{
    delta_gates, largest_into as argmax_into, rows as embedding, sum as add, sum_and_norm as add_rms_norm,
    swish as silu,
};
pub use gla::{decay_gate, gla};
pub use layout::{
    by_columns as to_column_major, exact_product as linear_f32, linear, linear_by_three as linear_triple,
    merge_heads, repeat_heads, split_heads, swish_gated as swiglu,
};
pub use loss::{
    cross_entropy, log_likelihoods, log_likelihoods_of as token_log_likelihoods, mean_squared_error,
};
pub use norm::{readout as gated_rms_norm, rms_norm, swish_gate};
pub use rope::{Rope, RopeScaling, RotaryAngles};

/// Rows of a chunk in the chunkwise forms.
pub const CHUNK: usize = 64;

/// The chunk length for `time` tokens: a power of two, at most [`CHUNK`].
fn chunk_len(time: usize) -> usize {
    time.next_power_of_two().min(CHUNK)
}
