//! SIMD kernels for operations that a tensor library computes slowly on a CPU. The kernels compute the
//! recurrences of linear attention with their gradients. They also compute the forward passes of attention,
//! RMSNorm, rotary embeddings and gates.
//!
//! A recurrence that is written as tensor operations takes hundreds of small matrix products. A kernel
//! computes the recurrence in one pass over the tokens.
//!
//! All arrays are contiguous, row-major f32, unless their strides are given. In shapes, `n` is the batch size
//! times the number of heads, and `t` is the number of tokens. `k` is the width of a key, and `v` the width
//! of a value. Other letters are defined where they are used.
//!
//! On one machine, results are bit-identical for any number of threads. A machine with a different SIMD width
//! adds numbers in a different order, so the last bits of its results may differ.

mod attention;
mod columns;
mod exp;
mod gated_delta;
mod gla;
mod recurrence;
mod rms_norm;
mod rotary;
mod state_checkpoints;
mod swish_gate;
#[cfg(test)]
mod tests;
mod vectors;

pub use attention::{AttentionInputs, attention_forward};
pub use gated_delta::{DeltaGradients, DeltaInputs, delta_backward, delta_outputs_and_states};
pub use gla::{GlaGradients, GlaInputs, gla_backward, gla_outputs_and_states};
pub use recurrence::RecurrenceShape;
pub use rms_norm::rms_norm;
pub use rotary::{RotaryInputs, rotary_embedding};
pub use swish_gate::swish_gate;

/// The number of elements that one thread processes at a time in elementwise kernels.
const ELEMENTS_PER_CHUNK: usize = 16 * 1024;
