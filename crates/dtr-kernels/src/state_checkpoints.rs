//! The states of a recurrence that its backward pass needs. To save memory, [`StateCheckpoints`] keeps only
//! the state before each chunk of tokens. It recomputes the other states of a chunk from that state.

use pulp::Simd;

use crate::columns::ColumnBlock;
use crate::recurrence::UpdateRule;
use crate::vectors::{VectorPair, zeros};

/// The number of tokens of a chunk.
pub(crate) const CHUNK: usize = 32;

/// The states that a backward pass reads, for one block of columns.
pub(crate) struct StateCheckpoints<S: Simd> {
    columns: ColumnBlock,
    /// The number of vector pairs of a state: one for each key channel.
    state_rows: usize,
    /// The state before the first token of each chunk.
    checkpoints: Vec<VectorPair<S>>,
    /// The state before each token of the current chunk, followed by the state after the chunk's last token.
    chunk_states: Vec<VectorPair<S>>,
}

impl<S: Simd> StateCheckpoints<S> {
    /// Runs the recurrence over `num_tokens` tokens from the state `initial` and keeps the state before each
    /// chunk.
    #[inline(always)]
    pub(crate) fn record(
        simd: S,
        num_tokens: usize,
        columns: ColumnBlock,
        initial: &[f32],
        rule: &impl UpdateRule,
    ) -> Self {
        let mut state = columns.load_rows(simd, initial);
        let state_rows = state.len();
        let mut checkpoints = Vec::with_capacity(num_tokens.div_ceil(CHUNK) * state_rows);
        // The updates stop before the last chunk, because `recompute_chunk` computes the states of that
        // chunk.
        let end = num_tokens.saturating_sub(1) / CHUNK * CHUNK;
        for token in 0..=end {
            if token % CHUNK == 0 {
                checkpoints.extend_from_slice(&state);
            }
            if token < end {
                rule.update(simd, columns, token, &mut state);
            }
        }
        let chunk_states = vec![zeros(simd); (CHUNK.min(num_tokens) + 1) * state_rows];
        Self { columns, state_rows, checkpoints, chunk_states }
    }

    /// Makes the chunk of the tokens `first..end` the current chunk, and computes the chunk's states from the
    /// chunk's checkpoint. `first` is a multiple of [`CHUNK`].
    #[inline(always)]
    pub(crate) fn recompute_chunk(&mut self, simd: S, first: usize, end: usize, rule: &impl UpdateRule) {
        let size = self.state_rows;
        let start = first / CHUNK * size;
        self.chunk_states[..size].copy_from_slice(&self.checkpoints[start..start + size]);
        for token in first..end {
            let at = (token - first) * size;
            self.chunk_states.copy_within(at..at + size, at + size);
            rule.update(simd, self.columns, token, &mut self.chunk_states[at + size..at + 2 * size]);
        }
    }

    /// Returns the states before and after a token. `index` is the token's index within the current chunk.
    #[inline(always)]
    pub(crate) fn before_and_after(&self, index: usize) -> (&[VectorPair<S>], &[VectorPair<S>]) {
        let size = self.state_rows;
        self.chunk_states[index * size..(index + 2) * size].split_at(size)
    }
}
