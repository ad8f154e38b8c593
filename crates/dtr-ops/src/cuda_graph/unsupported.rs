//! The types of [`decode`](super) in builds without CUDA. No device of these builds supports counters or
//! recorded steps.

use std::convert::Infallible;

use burn::tensor::{Device, Tensor};

/// A counter in device memory that holds the position of the next token. No device of this build supports
/// counters, so this type has no values.
#[derive(Clone)]
pub struct PositionCounter(Infallible);

impl PositionCounter {
    /// Returns `None`, because no device of this build supports counters.
    pub fn new(_position: usize, _device: &Device) -> Option<Self> {
        None
    }

    /// Adds 1 to the position.
    pub fn advance(&self) {
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
