//! The state that a decoder carries from one forward pass to the next.

use std::ops::Range;

use burn::tensor::{Int, Tensor};

use super::mixer::MixerState;

/// The state of every layer: a KV cache for full attention, and a recurrent state for linear attention.
#[derive(Clone, Default)]
pub struct DecoderState {
    pub(super) layers: Vec<Option<MixerState>>,
    num_past_tokens: usize,
    capacity: usize,
}

impl DecoderState {
    /// Creates the state before the first token.
    pub fn new(num_layers: usize) -> Self {
        Self { layers: vec![None; num_layers], num_past_tokens: 0, capacity: 0 }
    }

    /// Makes each KV cache reserve memory for `num_tokens` tokens in total. The cache is then not copied when
    /// it grows.
    #[must_use]
    pub fn with_capacity(self, num_tokens: usize) -> Self {
        Self { capacity: num_tokens, ..self }
    }

    /// Returns the number of tokens that have been processed.
    pub fn num_past_tokens(&self) -> usize {
        self.num_past_tokens
    }

    /// Returns the number of tokens for which KV caches reserve memory.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn advance(&mut self, num_tokens: usize) {
        self.num_past_tokens += num_tokens;
    }

    /// Reserves memory for at least `num_tokens` tokens in total and returns the new capacity.
    pub(super) fn reserve(&mut self, num_tokens: usize) -> usize {
        self.capacity = self.capacity.max(num_tokens);
        for state in self.layers.iter_mut().flatten() {
            state.reserve(self.capacity);
        }
        self.capacity
    }

    /// Creates a state of `rows` batch rows whose memory holds zeros. KV caches have capacity for `capacity`
    /// tokens. All other sizes, and the dtypes, are those of this state.
    pub(super) fn empty_rows(&self, rows: usize, capacity: usize) -> Self {
        let layers = self.layers.iter();
        let layers = layers.map(|state| state.as_ref().map(|state| state.empty_rows(rows, capacity)));
        Self { layers: layers.collect(), num_past_tokens: 0, capacity }
    }

    /// Overwrites the state of batch row `row` with the state of batch row `from_row` of `from`, which has
    /// processed `num_tokens` tokens.
    pub(super) fn copy_row(&mut self, row: usize, from: &Self, from_row: usize, num_tokens: usize) {
        for (state, from) in self.layers.iter_mut().zip(&from.layers) {
            if let (Some(old), Some(from)) = (state.take(), from) {
                *state = Some(old.with_row_of(row, from, from_row, num_tokens));
            }
        }
    }

    /// Returns the state of the batch rows `rows_b`, in that order.
    pub(super) fn select_rows(&self, rows_b: &Tensor<1, Int>) -> Self {
        let layers = self.layers.iter();
        let layers = layers.map(|state| state.as_ref().map(|state| state.select_rows(rows_b)));
        Self { layers: layers.collect(), ..*self }
    }

    /// Returns a copy of the state of batch row `row`, which shares no memory with this state. Its KV caches
    /// hold the tokens `tokens`. Its recurrent states are those after the row's last token.
    #[must_use]
    pub fn copy_tokens(&self, row: usize, tokens: Range<usize>) -> Self {
        let layers = self.layers.iter();
        let layers = layers.map(|state| state.as_ref().map(|state| state.copy_tokens(row, tokens.clone())));
        Self { layers: layers.collect(), num_past_tokens: tokens.len(), capacity: 0 }
    }

    /// Returns the state after the tokens of `parts`: copies of one row's tokens by
    /// [`DecoderState::copy_tokens`], where each part begins at the end of the part before. The result shares
    /// no memory with the parts. Its KV caches have capacity for `capacity` tokens.
    ///
    /// # Panics
    /// Panics if there are no parts.
    #[must_use]
    pub fn concat(parts: &[&Self], capacity: usize) -> Self {
        let concat = |layer: usize| {
            let states: Vec<&MixerState> =
                parts.iter().filter_map(|part| part.layers[layer].as_ref()).collect();
            (!states.is_empty()).then(|| MixerState::concat(&states, capacity))
        };
        Self {
            layers: (0..parts[0].layers.len()).map(concat).collect(),
            num_past_tokens: parts.iter().map(|part| part.num_past_tokens).sum(),
            capacity,
        }
    }

    /// Returns how many bytes the states of all layers take on their device.
    pub fn num_bytes(&self) -> StateBytes {
        let mut bytes = StateBytes::default();
        for state in self.layers.iter().flatten() {
            match state {
                MixerState::Cache(_) => bytes.cache += state.num_bytes(),
                MixerState::Recurrent { .. } => bytes.recurrent += state.num_bytes(),
            }
        }
        bytes
    }
}

/// The number of bytes that the states of all layers take on their device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateBytes {
    /// The number of bytes of KV caches.
    pub cache: u64,
    /// The number of bytes of recurrent states and of the last inputs of convolutions.
    pub recurrent: u64,
}
