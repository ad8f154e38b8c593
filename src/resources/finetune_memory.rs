//! An estimate of the memory that fine-tuning takes.

use super::memory::{F32_BYTES, twin_bytes, weight_bytes};
use super::tuning_memory::{BatchShape, TuningMemory, num_replaced};
use crate::algorithms::finetune::{FinetuneConfig, FinetunedParts};
use crate::algorithms::tuning::HybridChoice;
use crate::manifest::Dtype;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};

/// Estimates the memory that fine-tuning a base or a hybrid takes.
pub struct FinetuneMemory<'a> {
    /// The shape of the base.
    pub config: &'a DecoderConfig,
    /// The floating-point type in which the model computes.
    pub dtype: Dtype,
    /// The variant of the twins, and the hybrid. `None` if the base is fine-tuned.
    pub hybrid: Option<(&'a TwinVariant, HybridChoice)>,
    /// The training recipe.
    pub recipe: &'a FinetuneConfig,
}

impl FinetuneMemory<'_> {
    /// Returns the bytes of the model, the trained numbers with their moments and gradients, and the f32 copies
    /// of changed parameters.
    pub fn weight_bytes(&self) -> u64 {
        self.tuning().weight_bytes()
    }

    /// Returns the peak memory in bytes. A GPU computes one micro-batch at a time, and a CPU computes one in
    /// each thread.
    pub fn peak_bytes(&self) -> u64 {
        self.tuning().peak_bytes()
    }

    /// Returns the number of micro-batches that are computed at once.
    pub(super) fn num_at_once(&self) -> u64 {
        self.tuning().num_at_once()
    }

    fn tuning(&self) -> TuningMemory<'_> {
        let (config, recipe) = (self.config, self.recipe);
        let changed = self.num_changed();
        let twins = self.hybrid.map_or(0, |(variant, _)| twin_bytes(config, variant, Dtype::F32));
        let (num_trained, merged_bytes) = match &recipe.train {
            FinetunedParts::Full(_) => (changed, 0),
            FinetunedParts::Lora(parts) => {
                (parts.rank as u64 * self.num_rows_and_columns(), F32_BYTES * changed)
            }
        };
        // The parameters of the best epoch are kept in the memory of the processor.
        let best_bytes = if self.dtype.is_f32() { F32_BYTES * changed } else { 0 };
        TuningMemory {
            config,
            dtype: self.dtype,
            other_weight_bytes: weight_bytes(config, self.dtype) + twins + merged_bytes + best_bytes,
            num_trained,
            batch: BatchShape {
                batch_size: recipe.batch_size,
                micro_batch_size: recipe.micro_batch_size,
                sequence_length: recipe.sequence_length.min(config.max_positions),
            },
        }
    }

    /// Returns the number of rows and columns of all projections. A projection of rank `r` has `r` adapted
    /// numbers for each of its rows and columns. Linear blocks count as attention.
    fn num_rows_and_columns(&self) -> u64 {
        let DecoderConfig { hidden_size, intermediate_size, num_heads, num_kv_heads, head_dim, .. } =
            *self.config;
        let attention = 4 * hidden_size + 2 * (num_heads + num_kv_heads) * head_dim;
        let mlp = 3 * (hidden_size + intermediate_size);
        (self.config.num_layers * (attention + mlp)) as u64
    }

    /// Returns the largest number of parameters that the training changes: all parameters of the base, and
    /// those of the linear blocks.
    fn num_changed(&self) -> u64 {
        let mixers = self.hybrid.map_or(0, |(variant, choice)| {
            num_replaced(self.config, choice) * Mixer::num_twin_parameters(variant, self.config)
        });
        self.config.num_parameters() + mixers
    }
}
