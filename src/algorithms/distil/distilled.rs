//! The twins that a distillation has trained, and their losses.

use std::path::Path;

use dtr_core::error::Result;
use dtr_model::NamedTensors;

use super::DistilResult;

/// Distilled twins of successive layers, in host memory, with the losses of their training.
pub struct DistilledTwins {
    /// The losses, in the form in which the store keeps them.
    pub result: DistilResult,
    pub(super) tensors: NamedTensors,
}

impl DistilledTwins {
    /// Appends `next`, the twins of the layers that follow. The twins of `self` and `next` must have been
    /// trained on the same tokens.
    #[must_use]
    pub fn append_layers(mut self, next: Self) -> Self {
        let (result, other) = (&mut self.result, next.result);
        result.layers.extend(other.layers);
        result.num_parameters += other.num_parameters;
        for (point, other) in result.curve.iter_mut().zip(other.curve) {
            point.losses.extend(other.losses);
        }
        self.tensors.extend(next.tensors);
        self
    }

    /// Writes the twins to `path` as safetensors.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_twins(&self, path: &Path) -> Result<()> {
        self.tensors.save(path)
    }
}
