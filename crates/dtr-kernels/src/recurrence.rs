//! The forward pass of a linear-attention recurrence, for any rule that updates the state.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::columns::ColumnBlock;
use crate::vectors::{VectorPair, add_scaled, lanes_per_pair, zeros};

/// Sizes of a recurrence's arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecurrenceShape {
    /// Number of rows, `n`: batch size times heads. A row is one head of one sequence.
    pub num_rows: usize,
    /// Number of tokens, `t`.
    pub num_tokens: usize,
    /// Width of a key, `k`.
    pub key_dim: usize,
    /// Width of a value, `v`.
    pub value_dim: usize,
}

impl RecurrenceShape {
    /// Returns the number of elements of one row's state, `[k, v]`.
    pub(crate) fn state_size(self) -> usize {
        self.key_dim * self.value_dim
    }
}

/// A rule that updates a row's state token by token.
pub(crate) trait UpdateRule: Copy {
    /// Updates a block of the state's columns with the token at index `token`. `state` holds these columns,
    /// as one vector pair for each of the `k` key channels.
    fn update<S: Simd>(&self, simd: S, columns: ColumnBlock, token: usize, state: &mut [VectorPair<S>]);
}

/// Runs the recurrence of every row. `rule(row)` is the update rule of a row.
///
/// `q` holds the queries, `[n, t, k]`, and `initial` the states before the first token, `[n, k, v]`. Returns
/// the outputs `S_tᵀ q_t / sqrt(k)`, `[n, t, v]`, followed by the final states, `[n, k, v]`. `S_t` is the
/// state after token `t`.
pub(crate) fn forward<R: UpdateRule>(
    shape: RecurrenceShape,
    q: &[f32],
    initial: &[f32],
    rule: impl Fn(usize) -> R + Sync,
) -> Vec<f32> {
    let RecurrenceShape { num_rows, num_tokens, key_dim, value_dim } = shape;
    let mut packed = vec![0.0; num_rows * (num_tokens * value_dim + shape.state_size())];
    let (outputs, states) = packed.split_at_mut(num_rows * num_tokens * value_dim);
    (
        outputs.par_chunks_exact_mut(num_tokens * value_dim),
        states.par_chunks_exact_mut(shape.state_size()),
        initial.par_chunks_exact(shape.state_size()),
        q.par_chunks_exact(num_tokens * key_dim),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(row, (output, state, initial, q))| {
            state.copy_from_slice(initial);
            Arch::new().dispatch(ForwardRow { shape, rule: rule(row), q, output, state });
        });
    packed
}

struct ForwardRow<'a, R> {
    shape: RecurrenceShape,
    rule: R,
    /// Queries, `[t, k]`.
    q: &'a [f32],
    /// Receives the outputs `S_tᵀ q_t / sqrt(k)`, `[t, v]`.
    output: &'a mut [f32],
    /// The state, `[k, v]`. The forward pass replaces the initial state with the final state.
    state: &'a mut [f32],
}

impl<R: UpdateRule> WithSimd for ForwardRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape: RecurrenceShape { num_tokens, key_dim, value_dim, .. }, rule, q, output, state } =
            self;
        let scale = (key_dim as f32).powf(-0.5);
        for first in (0..value_dim).step_by(lanes_per_pair::<S>()) {
            let columns = ColumnBlock::new::<S>(first, value_dim);
            let mut state_columns = columns.load_rows(simd, state);
            for token in 0..num_tokens {
                rule.update(simd, columns, token, &mut state_columns);
                let mut sum = zeros(simd);
                for (q, state) in q[token * key_dim..(token + 1) * key_dim].iter().zip(&state_columns) {
                    sum = add_scaled(simd, sum, scale * q, *state);
                }
                columns.store_row(simd, output, token, sum);
            }
            columns.store_rows(simd, state, &state_columns);
        }
    }
}
