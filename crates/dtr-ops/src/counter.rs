//! Positions that the device itself counts, and work that it does again without being told how: what decoding stands on.

use burn::tensor::{Device, Tensor};
#[cfg(feature = "cuda")]
use burn::tensor::{Int, TensorData};

#[cfg(feature = "cuda")]
use super::cuda::Recorded;
#[cfg(feature = "cuda")]
use super::native::{Native, decode, native};

/// The position of the next token, on a device that counts. Other devices have none.
#[derive(Clone)]
pub struct PositionCounter(#[cfg(feature = "cuda")] Tensor<1, Int>);

#[cfg(feature = "cuda")]
impl PositionCounter {
    /// A counter at `position`, where the device can count.
    pub fn new(position: usize, device: &Device) -> Option<Self> {
        let at = Tensor::<1, Int>::from_data(TensorData::from([position as i32]), device);
        let is_counted = native(&Tensor::<1>::zeros([1], device)) == Some(Native::Cuda);
        is_counted.then_some(Self(at))
    }

    /// Counts one token.
    pub fn advance(&self) {
        decode::advance(&self.0, 1);
    }

    /// Rotates pairs of x by tables of all positions, from here on.
    pub(super) fn rotate(&self, x_bhtk: Tensor<4>, tables: &(Tensor<4>, Tensor<4>)) -> Tensor<4> {
        decode::rotate_at(x_bhtk, tables, &self.0)
    }

    /// Queries rotated from here on, and the caches of keys and values with these in them, keys rotated.
    pub(super) fn rotate_and_append(
        &self,
        tokens: [Tensor<4>; 3],
        caches: (Tensor<4>, Tensor<4>),
        tables: &(Tensor<4>, Tensor<4>),
    ) -> (Tensor<4>, (Tensor<4>, Tensor<4>)) {
        decode::rotate_and_append(tokens, caches, tables, &self.0)
    }

    /// Attention over a cache whose last token stands here.
    pub(super) fn attention(&self, q_bhtk: Tensor<4>, cache: (Tensor<4>, Tensor<4>)) -> Tensor<4> {
        decode::attention_at(q_bhtk, cache, &self.0)
    }
}

#[cfg(not(feature = "cuda"))]
impl PositionCounter {
    /// None: no device of this build counts.
    pub fn new(_: usize, _: &Device) -> Option<Self> {
        None
    }

    /// Counts one token.
    pub fn advance(&self) {
        unreachable!("{NONE}")
    }

    pub(super) fn rotate(&self, _: Tensor<4>, _: &(Tensor<4>, Tensor<4>)) -> Tensor<4> {
        unreachable!("{NONE}")
    }

    pub(super) fn rotate_and_append(
        &self,
        _: [Tensor<4>; 3],
        _: (Tensor<4>, Tensor<4>),
        _: &(Tensor<4>, Tensor<4>),
    ) -> (Tensor<4>, (Tensor<4>, Tensor<4>)) {
        unreachable!("{NONE}")
    }

    pub(super) fn attention(&self, _: Tensor<4>, _: (Tensor<4>, Tensor<4>)) -> Tensor<4> {
        unreachable!("{NONE}")
    }
}

#[cfg(not(feature = "cuda"))]
const NONE: &str = "no device of this build counts";

/// Work on the same tensors that was recorded once.
pub struct RecordedStep(#[cfg(feature = "cuda")] Recorded);

#[cfg(feature = "cuda")]
impl RecordedStep {
    /// Records what `work` asks of a device that counts; it is not done now.
    pub fn record(device: &Device, work: impl FnOnce()) -> Self {
        Self(Recorded::new(device, work))
    }

    /// Does the work.
    pub fn replay(&self) {
        self.0.replay();
    }
}

#[cfg(not(feature = "cuda"))]
impl RecordedStep {
    /// Records what `work` asks of a device that counts.
    pub fn record(_: &Device, _: impl FnOnce()) -> Self {
        unreachable!("{NONE}")
    }

    /// Does the work.
    pub fn replay(&self) {
        unreachable!("{NONE}")
    }
}
