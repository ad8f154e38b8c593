//! States of a recurrence kept for its way back: one for every stretch of tokens, and all of the
//! stretch at hand, made again from the one before it.

use pulp::Simd;

use crate::lanes::{Columns, Lanes, zeros};
use crate::rule::Rule;

/// Tokens between kept states.
pub(crate) const STRETCH: usize = 32;

/// The states, some columns of them, that a backward pass walks through.
pub(crate) struct Tape<S: Simd> {
    columns: Columns,
    /// Rows of a state.
    size: usize,
    /// The state before each stretch, end to end.
    kept: Vec<Lanes<S>>,
    /// The state before each token of the stretch at hand, and the one after the last.
    stretch: Vec<Lanes<S>>,
}

impl<S: Simd> Tape<S> {
    /// Runs forward over `time` tokens from `initial` and keeps what the way back needs.
    #[inline(always)]
    pub(crate) fn record(simd: S, time: usize, columns: Columns, initial: &[f32], rule: &impl Rule) -> Self {
        let mut state = columns.load_all(simd, initial);
        let size = state.len();
        let mut kept = Vec::with_capacity(time.div_ceil(STRETCH) * size);
        // What comes after the last kept state is made when it is needed.
        let end = time.saturating_sub(1) / STRETCH * STRETCH;
        for token in 0..=end {
            if token % STRETCH == 0 {
                kept.extend_from_slice(&state);
            }
            if token < end {
                rule.step(simd, columns, token, &mut state);
            }
        }
        Self { columns, size, kept, stretch: vec![zeros(simd); (STRETCH.min(time) + 1) * size] }
    }

    /// Makes the states of the stretch that begins at token `first` and ends before `end`.
    #[inline(always)]
    pub(crate) fn replay(&mut self, simd: S, first: usize, end: usize, rule: &impl Rule) {
        let size = self.size;
        let start = first / STRETCH * size;
        self.stretch[..size].copy_from_slice(&self.kept[start..start + size]);
        for token in first..end {
            let at = (token - first) * size;
            self.stretch.copy_within(at..at + size, at + size);
            rule.step(simd, self.columns, token, &mut self.stretch[at + size..at + 2 * size]);
        }
    }

    /// The states before and after the `index`-th token of the stretch at hand.
    #[inline(always)]
    pub(crate) fn around(&self, index: usize) -> (&[Lanes<S>], &[Lanes<S>]) {
        self.stretch[index * self.size..(index + 2) * self.size].split_at(self.size)
    }
}
