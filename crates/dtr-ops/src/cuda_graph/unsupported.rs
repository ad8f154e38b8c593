//! The types of [`cuda_graph`](super) in builds without CUDA. No device of these builds supports counters or
//! recorded steps.

use std::convert::Infallible;

use burn::tensor::{Device, Int, Tensor};

/// Counters in device memory that hold the position of the next token of each batch row. No device of this
/// build supports counters, so this type has no values.
#[derive(Clone)]
pub struct PositionCounter(Infallible);

impl PositionCounter {
    /// Returns `None`, because no device of this build supports counters.
    pub fn new(_positions: &[usize], _device: &Device) -> Option<Self> {
        None
    }

    /// Adds 1 to each position that is below `last`.
    pub fn advance(&self, _last: usize) {
        match self.0 {}
    }

    /// Sets the position of batch row `row`.
    pub fn set(&self, _row: usize, _position: usize) {
        match self.0 {}
    }

    /// Returns the position of each batch row.
    pub fn read(&self) -> Vec<usize> {
        match self.0 {}
    }

    pub(crate) fn rotate(&self, _: Tensor<4>, _: [Tensor<4>; 2]) -> Tensor<4> {
        match self.0 {}
    }

    pub(crate) fn rotate_and_append(
        &self,
        _: [Tensor<4>; 3],
        _: [Tensor<4>; 2],
        _: [Tensor<4>; 2],
    ) -> (Tensor<4>, [Tensor<4>; 2]) {
        match self.0 {}
    }

    pub(crate) fn attention(&self, _: Tensor<4>, _: [Tensor<4>; 2]) -> Tensor<4> {
        match self.0 {}
    }
}

/// Tokens in fixed device memory, one for each batch row, with a history. No device of this build records
/// steps, so this type has no values.
pub struct TokenBuffer(Infallible);

impl TokenBuffer {
    /// Returns a buffer of `tokens`, one for each batch row, whose history has space for `num_steps` steps.
    ///
    /// # Panics
    /// Always panics, because no device of this build can record steps.
    pub fn new(_tokens: &[u32], _num_steps: usize, _device: &Device) -> Self {
        unreachable!("no device of this build records steps")
    }

    /// Returns the tokens, `[b]`.
    pub fn tensor(&self) -> Tensor<1, Int> {
        match self.0 {}
    }

    /// Sets the token of batch row `row`.
    pub fn set(&self, _row: usize, _token: u32) {
        match self.0 {}
    }

    /// Sets the tokens of all rows.
    pub fn set_all(&self, _tokens: &[u32]) {
        match self.0 {}
    }

    /// Copies the tokens of all rows to the history.
    pub fn record(&mut self) {
        match self.0 {}
    }

    /// Returns the recorded tokens of each step, `[step][row]`, and clears the history. A token is `u32::MAX`
    /// if all of its logits were NaN.
    pub fn take_history(&mut self) -> Vec<Vec<u32>> {
        match self.0 {}
    }
}

/// Work on fixed tensors that was recorded and can be replayed. No device of this build can record work, so
/// this type has no values.
pub struct RecordedStep(Infallible);

impl RecordedStep {
    /// Records the operations of `work` without running them.
    ///
    /// # Panics
    /// Always panics, because no device of this build can record work.
    pub fn record(_device: &Device, _work: impl FnOnce()) -> Self {
        unreachable!("no device of this build records steps")
    }

    /// Runs the recorded work.
    pub fn replay(&self) {
        match self.0 {}
    }
}
