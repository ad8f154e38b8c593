//! Times the decoding of the base, and of a hybrid with every second layer replaced.

use dtr_core::error::Result;
use dtr_model::{BatchDecoder, Decoder, DecoderState, Hybrid, Mask, Twins, count_parameters};

use super::{DeviceBench, SEQUENCE_LENGTH};
use crate::observer::Observer;

/// The number of tokens in one forward pass of the prefill of a single prompt.
const PREFILL_CHUNK: usize = 2048;

/// The number of tokens that one run decodes after each prompt.
const TOKENS_PER_RUN: usize = 16;

/// The number of tokens after the prompt for which a decoder state reserves memory.
const MAX_NEW_TOKENS: usize = 4 * TOKENS_PER_RUN;

impl DeviceBench<'_> {
    pub(super) fn time_decoding(
        &self,
        base: &Decoder,
        twins: &Twins,
        cases: &[(usize, usize)],
        observer: &dyn Observer,
    ) -> Result<()> {
        let num_layers = self.model.num_layers;
        let half: Mask = (0..num_layers as u32).filter(|layer| layer % 2 == 1).collect();
        let none = Mask::empty();
        let models =
            [("base", Hybrid::from_base(base), &none), ("half gla", Hybrid::new(base, twins, &half), &half)];
        for &(batch, context) in cases {
            for (name, model, mask) in &models {
                observer.check_interrupted()?;
                let state = self.prefill(model, batch, context);
                let state_bytes = state.num_bytes();
                let mut decoding = BatchDecoder::new(model, state, &vec![1; batch], MAX_NEW_TOKENS);
                // The first two steps are not timed. On a GPU, the first step compiles kernels. The decoder
                // records the second step as a CUDA graph, which it replays in later steps.
                decoding.step();
                decoding.step();
                let seconds = self.median_seconds(1, || {
                    for _ in 0..TOKENS_PER_RUN {
                        decoding.step();
                    }
                })?;
                // A step reads the weights and the cache once. It reads and writes the recurrent states, so
                // their bytes count twice.
                let bytes = self.weight_bytes(base, twins, mask)
                    + (state_bytes.cache + 2 * state_bytes.recurrent) as f64;
                let operation = format!("decode {name} {batch}x{context}");
                self.report_time(operation, seconds / TOKENS_PER_RUN as f64, bytes, "byte");
            }
        }
        Ok(())
    }

    /// Returns the state of `model` after `batch` prompts of `context` tokens each.
    fn prefill(&self, model: &Hybrid<'_>, batch: usize, context: usize) -> DecoderState {
        let ids: Vec<Vec<u32>> = (0..batch).map(|row| vec![row as u32; context]).collect();
        let mut state = DecoderState::new(self.model.num_layers).with_capacity(context + MAX_NEW_TOKENS);
        let chunk = if batch == 1 { PREFILL_CHUNK.min(context) } else { SEQUENCE_LENGTH };
        for start in (0..context).step_by(chunk) {
            let chunk: Vec<Vec<u32>> = ids.iter().map(|row| row[start..start + chunk].to_vec()).collect();
            drop(model.forward_hidden(&chunk, None, Some(&mut state)));
        }
        state
    }

    /// Returns the size in bytes of the weights that a decoding step reads: all weights except the embedding.
    /// `mask` has the layers that the hybrid replaces.
    fn weight_bytes(&self, base: &Decoder, twins: &Twins, mask: &Mask) -> f64 {
        let difference = |layer: usize| {
            let twin = count_parameters(&mut twins.layers[layer].clone()) as f64;
            twin - count_parameters(&mut base.attention(layer).clone()) as f64
        };
        let embedding = (self.model.vocab_size * self.model.hidden_size) as f64;
        let replaced: f64 = mask.layers().iter().map(|layer| difference(*layer as usize)).sum();
        (self.model.num_parameters() as f64 - embedding + replaced) * base.dtype().size() as f64
    }
}
