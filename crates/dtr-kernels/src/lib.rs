//! Processor kernels for what a tensor library does slowly: the recurrences of linear attention, which
//! as tensor operations are hundreds of small products, and here are one pass over the tokens; and the
//! forward passes of what is frozen, which would write and read every intermediate.
//!
//! All arrays are contiguous, row-major f32; of a recurrence `[n, t, k]` for queries, keys and decays,
//! `[n, t, v]` for values, `[n, k, v]` for states, where `n` counts batch rows times heads. Results are
//! the same bits for any number of threads on one machine; vectors of another width sum in another order.

#![warn(missing_docs)]

mod attention;
mod delta;
mod gla;
mod lanes;
mod pointwise;
mod rotate;
mod rule;
mod tape;

#[cfg(test)]
mod tests;

pub use attention::{AttentionInputs, attention_forward};
pub use delta::{DeltaGradients, DeltaInputs, delta_backward, delta_forward};
pub use gla::{GlaGradients, GlaInputs, gla_backward, gla_forward};
pub use pointwise::{rms_norm, swish_gate};
pub use rotate::{RotateInputs, rotate};

/// Sizes of a recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Batch rows times heads.
    pub rows: usize,
    /// Tokens.
    pub time: usize,
    /// Width of a key.
    pub key: usize,
    /// Width of a value.
    pub value: usize,
}

impl Shape {
    fn state(self) -> usize {
        self.key * self.value
    }
}
