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

pub use adamw::{AdamWStep, Decay, adamw, sum_of_squares};
pub use attention::{CausalMask, attention, attention_weights};
pub use cache::KvCache;
pub use conv::{ConvState, swish_conv, swish_dynamic_conv};
pub use counter::{Counter, Replay};
pub use delta::{delta_rule, gated_delta};
#[cfg(feature = "cuda")]
pub use devices::{cuda_devices, lacking_for_gpus};
pub use devices::{exclusively, is_cpu, short_dtype};
pub use elements::{delta_gates, largest_into, rows, sum, sum_and_norm, swish};
pub use gla::{decay_gate, gla};
pub use layout::{
    by_columns, exact_product, linear, linear_by_three, merge_heads, repeat_heads, split_heads, swish_gated,
};
pub use loss::{cross_entropy, log_likelihoods, log_likelihoods_of, mean_squared_error};
pub use norm::{readout, rms_norm, swish_gate};
pub use rope::{Angles, Rope, RopeScaling};

/// Rows of a chunk in the chunkwise forms.
pub const CHUNK: usize = 64;

/// The chunk length for `time` tokens: a power of two, at most [`CHUNK`].
fn chunk_len(time: usize) -> usize {
    time.next_power_of_two().min(CHUNK)
}
