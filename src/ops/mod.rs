//! Numeric primitives in burn tensors, each over any device; where the processor computes, the
//! recurrences and the forward passes of frozen layers are kernels of `dtr-kernels`.
//!
//! Shape letters: `b` batch, `t` time, `s` key positions (past and present), `h` query heads,
//! `g` key/value heads, `k` key width, `v` value width, `d` model width, `c` chunk, `n` chunks,
//! `x` batch times heads. Names of tensors end in their shape: `q_bhtk`.

mod attention;
mod chunks;
mod conv;
mod delta;
mod gla;
mod layout;
mod loss;
mod norm;
mod processor;
mod rope;
mod triangle;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

pub use attention::{CausalMask, attention, attention_weights};
pub use conv::{ConvState, dynamic_conv, short_conv};
pub use delta::{gated_delta, gated_delta_step};
pub use gla::{gla, gla_step};
pub use layout::{by_columns, linear, merge_heads, repeat_heads, split_heads};
pub use loss::{cross_entropy, log_likelihoods, log_likelihoods_at, mean_squared_error};
pub use norm::{gated_rms_norm, l2_norm, rms_norm, swish_gate};
pub use rope::{Rope, RopeScaling};

/// Rows of a chunk in the chunkwise forms.
pub const CHUNK: usize = 64;

/// The chunk length for `time` tokens: a power of two, at most [`CHUNK`].
fn chunk_len(time: usize) -> usize {
    time.next_power_of_two().min(CHUNK)
}
