//! Work over the same memory that is recorded once and done again as one launch, a CUDA graph.

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use burn_cubecl::CubeDevice;

use super::card::{Card, Recording};

/// Recorded work.
pub(crate) struct Recorded {
    card: &'static Card,
    recording: Recording,
}

impl Recorded {
    /// Records what `work` asks of the device, which is not done now. All of it must be kernels of this crate: what burn
    /// itself computes is done at once, and not again.
    pub fn new(device: &Device, work: impl FnOnce()) -> Self {
        let card = match device.as_dispatch() {
            DispatchDevice::Cube(CubeDevice::Cuda(device)) => Card::of(device.index),
            _ => unreachable!("work is recorded on CUDA devices"),
        };
        Self { card, recording: card.record(work) }
    }

    /// Does it.
    pub fn replay(&self) {
        self.card.replay(&self.recording);
    }
}
