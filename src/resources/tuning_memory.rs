//! An estimate of the memory that the training of a whole model takes, with one layer's gradient at a time.

use super::memory::{F32_BYTES, GPU_OVERHEAD_BYTES, dtype_bytes, training_bytes};
use crate::algorithms::tuning::HybridChoice;
use crate::manifest::Dtype;
use dtr_model::DecoderConfig;
use dtr_ops::head_loss_bytes;

/// Number of hidden states per token that exist while a layer's gradient is computed. Each has the model's
/// width.
const LAYER_STATES: u64 = 32;

/// Number of inner states of the MLP per token that exist while a layer's gradient is computed.
const INNER_STATES: u64 = 6;

/// Estimates the memory that a training takes whose layers run again in the backward pass.
pub(super) struct TuningMemory<'a> {
    /// The shape of the base.
    pub config: &'a DecoderConfig,
    /// The floating-point type in which the model computes.
    pub dtype: Dtype,
    /// The bytes of all weights other than the trained ones.
    pub other_weight_bytes: u64,
    /// How many numbers the optimizer updates.
    pub num_trained: u64,
    /// The shape of a batch.
    pub batch: BatchShape,
}

/// The shape of a batch.
pub(super) struct BatchShape {
    pub batch_size: usize,
    pub micro_batch_size: usize,
    pub sequence_length: usize,
}

impl TuningMemory<'_> {
    /// Returns the bytes of all weights. These bytes include the moments of trained weights, their gradients,
    /// and their copies in the dtype of the computation.
    pub fn weight_bytes(&self) -> u64 {
        let copies = if self.dtype == Dtype::F32 { 0 } else { dtype_bytes(self.dtype) * self.num_trained };
        self.other_weight_bytes + training_bytes(self.num_trained) + copies
    }

    /// Returns the peak memory in bytes. A GPU computes one micro-batch at a time, and a CPU computes one in
    /// each thread.
    pub fn peak_bytes(&self) -> u64 {
        let overhead = if self.dtype == Dtype::Bf16 { GPU_OVERHEAD_BYTES } else { 0 };
        self.weight_bytes() + overhead + self.num_at_once() * self.micro_batch_bytes()
    }

    /// Returns the number of micro-batches that are computed at once.
    pub fn num_at_once(&self) -> u64 {
        match self.dtype {
            Dtype::Bf16 => 1,
            Dtype::F32 => {
                let micro_batches = self.batch.batch_size.div_ceil(self.batch.micro_batch_size);
                micro_batches.min(rayon::current_num_threads()) as u64
            }
        }
    }

    /// Returns the bytes that one micro-batch takes: the inputs of all layers, the states of one layer, a
    /// chunk of logits, and the gradient of the trained weights.
    fn micro_batch_bytes(&self) -> u64 {
        let BatchShape { batch_size, micro_batch_size, sequence_length } = self.batch;
        let num_tokens = micro_batch_size.min(batch_size) * sequence_length;
        let (width, inner) = (self.config.hidden_size as u64, self.config.intermediate_size as u64);
        let states = width * (self.config.num_layers as u64 + 1 + LAYER_STATES) + inner * INNER_STATES;
        dtype_bytes(self.dtype) * num_tokens as u64 * states
            + head_loss_bytes(self.config.vocab_size, num_tokens)
            + F32_BYTES * self.num_trained
    }
}

/// Returns the number of layers that a hybrid replaces. If the search decides this number, returns the number of
/// all layers.
pub(super) fn num_replaced(config: &DecoderConfig, hybrid: HybridChoice) -> u64 {
    let num_layers = config.num_layers as u64;
    match hybrid {
        HybridChoice::Replaced(count) => u64::from(count).min(num_layers),
        HybridChoice::Opt | HybridChoice::Best => num_layers,
    }
}
