//! States of a recurrence kept for its way back: one for every stretch of tokens, and all of the
//! stretch at hand, made again from the one before it.

/// Tokens between kept states.
pub(crate) const STRETCH: usize = 32;

/// The states a backward pass walks through.
pub(crate) struct Tape {
    size: usize,
    /// The state before each stretch, end to end.
    kept: Vec<f32>,
    /// The state before each token of the stretch at hand, and the one after the last.
    stretch: Vec<f32>,
}

impl Tape {
    /// Runs forward over `time` tokens from `initial` and keeps what the way back needs.
    #[inline(always)]
    pub(crate) fn record(time: usize, initial: &[f32], mut step: impl FnMut(usize, &mut [f32])) -> Self {
        let size = initial.len();
        let mut kept = Vec::with_capacity(time.div_ceil(STRETCH) * size);
        let mut state = initial.to_vec();
        for token in 0..time {
            if token % STRETCH == 0 {
                kept.extend_from_slice(&state);
            }
            step(token, &mut state);
        }
        Self { size, kept, stretch: vec![0.0; (STRETCH + 1) * size] }
    }

    /// Makes the states of the stretch that begins at token `first` and ends before `end`.
    #[inline(always)]
    pub(crate) fn replay(&mut self, first: usize, end: usize, mut step: impl FnMut(usize, &mut [f32])) {
        let size = self.size;
        let start = first / STRETCH * size;
        self.stretch[..size].copy_from_slice(&self.kept[start..start + size]);
        for token in first..end {
            let at = (token - first) * size;
            self.stretch.copy_within(at..at + size, at + size);
            step(token, &mut self.stretch[at + size..at + 2 * size]);
        }
    }

    /// The states before and after the `index`-th token of the stretch at hand.
    #[inline(always)]
    pub(crate) fn around(&self, index: usize) -> (&[f32], &[f32]) {
        self.stretch[index * self.size..(index + 2) * self.size].split_at(self.size)
    }
}
