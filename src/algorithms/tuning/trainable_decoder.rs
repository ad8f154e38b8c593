//! The interface of a decoder in training, which hides which numbers the optimizer updates.

use burn::tensor::Tensor;

use dtr_core::error::Result;
use dtr_model::{Decoder, NamedTensors, SafetensorsReader};

/// A decoder in training, with its optimizer. The optimizer updates parameters of the decoder, or adapters from
/// which parameters are computed.
pub trait TrainableDecoder: Send + Sync {
    /// Returns the decoder with the current parameters. Its trained parameters are in f32.
    fn decoder(&self) -> &Decoder;

    /// Returns whether the training changes the parameter `name`.
    fn is_trained(&self, name: &str) -> bool;

    /// Converts the gradient of the parameter `name`, `[n]`, to the gradients of the numbers that the optimizer
    /// updates.
    fn reduce(&self, _name: &str, gradient: Tensor<1>) -> Vec<Tensor<1>> {
        vec![gradient]
    }

    /// Returns how many numbers the optimizer updates.
    fn num_trained(&mut self) -> u64;

    /// Updates the parameters by one step of the optimizer: step `step` (counted from 0) of `num_steps`.
    /// `gradient` holds the reduced gradient of each trained parameter, in the order in which the decoder
    /// visits its parameters. Returns the norm of the gradient before clipping, `[1]`.
    fn update(&mut self, gradient: Vec<Tensor<1>>, step: u64, num_steps: u64) -> Tensor<1>;

    /// Sets all moments of the optimizer to zero.
    fn reset_optimizer(&mut self);

    /// Returns a copy of the parameters that the training changes.
    fn trained_tensors(&mut self) -> NamedTensors;

    /// Returns the numbers that the optimizer updates and their moments, for a checkpoint.
    fn checkpoint_tensors(&mut self) -> NamedTensors;

    /// Restores the tensors that [`TrainableDecoder::checkpoint_tensors`] returned after `num_steps` steps.
    ///
    /// # Errors
    /// Fails if the checkpoint lacks a tensor.
    fn restore(&mut self, checkpoint: &mut SafetensorsReader, num_steps: u64) -> Result<()>;
}
