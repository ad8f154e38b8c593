//! States of a recurrence kept for its way back: one for every stretch of tokens, and all of the
//! stretch at hand, made again from the one before it.
//!
//! Steps are a trait and not closures: a closure would be compiled without the vector instructions of
//! the function it stands in.

use crate::lanes::{LANES, Lanes};

/// Tokens between kept states.
pub(crate) const STRETCH: usize = 32;

/// A recurrence over some columns of a row's state.
pub(crate) trait Walk {
    /// The update of `state` by the token at `token`.
    fn step(&self, token: usize, state: &mut [Lanes]);
}

/// The states, some columns of them, that a backward pass walks through.
pub(crate) struct Tape {
    /// Rows of a state.
    size: usize,
    /// The state before each stretch, end to end.
    kept: Vec<Lanes>,
    /// The state before each token of the stretch at hand, and the one after the last.
    stretch: Vec<Lanes>,
}

impl Tape {
    /// Runs forward over `time` tokens from `initial` and keeps what the way back needs.
    #[inline(always)]
    pub(crate) fn record(time: usize, initial: Vec<Lanes>, walk: &impl Walk) -> Self {
        let size = initial.len();
        let mut kept = Vec::with_capacity(time.div_ceil(STRETCH) * size);
        let mut state = initial;
        // What comes after the last kept state is made when it is needed.
        let end = time.saturating_sub(1) / STRETCH * STRETCH;
        for token in 0..=end {
            if token % STRETCH == 0 {
                kept.extend_from_slice(&state);
            }
            if token < end {
                walk.step(token, &mut state);
            }
        }
        Self { size, kept, stretch: vec![[0.0; LANES]; (STRETCH.min(time) + 1) * size] }
    }

    /// Makes the states of the stretch that begins at token `first` and ends before `end`.
    #[inline(always)]
    pub(crate) fn replay(&mut self, first: usize, end: usize, walk: &impl Walk) {
        let size = self.size;
        let start = first / STRETCH * size;
        self.stretch[..size].copy_from_slice(&self.kept[start..start + size]);
        for token in first..end {
            let at = (token - first) * size;
            self.stretch.copy_within(at..at + size, at + size);
            walk.step(token, &mut self.stretch[at + size..at + 2 * size]);
        }
    }

    /// The states before and after the `index`-th token of the stretch at hand.
    #[inline(always)]
    pub(crate) fn around(&self, index: usize) -> (&[Lanes], &[Lanes]) {
        self.stretch[index * self.size..(index + 2) * self.size].split_at(self.size)
    }
}
