//! Processor kernels for what a tensor library does slowly: the recurrences of linear attention, which
//! as tensor operations are hundreds of small products, and here are one pass over the tokens.
//!
//! All arrays are contiguous, row-major f32: `[n, t, k]` for queries, keys and decays, `[n, t, v]` for
//! values, `[n, k, v]` for states, where `n` counts batch rows times heads. Sums are made in sixteen
//! lanes whatever the processor's own width, so results are the same bits on every machine.

mod delta;
mod gla;
mod lanes;
mod tape;

#[cfg(test)]
mod tests;

pub use delta::{DeltaGradients, DeltaInputs, delta_backward, delta_forward};
pub use gla::{GlaGradients, GlaInputs, gla_backward, gla_forward};

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
