//! What a model carries from one pass to the next.

use super::mixer::MixerState;

/// The states of all layers, beside one another: caches where attention is full, recurrent states
/// where it is linear.
#[derive(Clone, Default)]
pub struct State {
    pub(super) layers: Vec<Option<MixerState>>,
    past: usize,
    room: usize,
}

impl State {
    /// The state before the first token.
    pub fn new(num_layers: usize) -> Self {
        Self { layers: vec![None; num_layers], past: 0, room: 0 }
    }

    /// The same with room for `tokens` in all, so that caches are not copied to become longer.
    #[must_use]
    pub fn for_tokens(self, tokens: usize) -> Self {
        Self { room: tokens, ..self }
    }

    /// Tokens so far.
    pub fn past(&self) -> usize {
        self.past
    }

    /// Tokens in all that it makes room for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Counts tokens that were added.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.past += tokens;
    }

    /// Tokens in all that it has room for, after making that room for at least `tokens`.
    pub(super) fn make_room(&mut self, tokens: usize) -> usize {
        self.room = self.room.max(tokens);
        for state in self.layers.iter_mut().flatten() {
            state.make_room(self.room);
        }
        self.room
    }

    /// Bytes held by all layers.
    pub fn bytes(&self) -> StateBytes {
        let mut bytes = StateBytes::default();
        for state in self.layers.iter().flatten() {
            match state {
                MixerState::Cache(_) => bytes.cache += state.bytes(),
                MixerState::Recurrent { .. } => bytes.recurrent += state.bytes(),
            }
        }
        bytes
    }
}

/// Bytes that the states of all layers hold on their device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateBytes {
    /// Keys and values, where attention is full.
    pub cache: u64,
    /// Recurrent states and the last inputs of convolutions, where it is linear.
    pub recurrent: u64,
}
