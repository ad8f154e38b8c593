//! What the recurrences share: a rule that updates a state token by token, and the pass that applies it.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::Shape;
use crate::lanes::{Columns, Lanes, add_scaled, count, exps, zeros};

/// How a row's state changes from token to token.
pub(crate) trait Rule: Copy {
    /// The update of some `columns` of the state by the token at `token`.
    fn step<S: Simd>(&self, simd: S, columns: Columns, token: usize, state: &mut [Lanes<S>]);
}

/// Runs each row's rule over its tokens, for queries `[n, t, k]` from states `[n, k, v]`: `S_tᵀ q_t / sqrt(k)`,
/// `[n, t, v]`, and behind them the last states.
pub(crate) fn forward<R: Rule>(
    shape: Shape,
    q: &[f32],
    initial: &[f32],
    rule: impl Fn(usize) -> R + Sync,
) -> Vec<f32> {
    let Shape { rows, time, key, value } = shape;
    let mut packed = vec![0.0; rows * (time * value + shape.state())];
    let (outputs, states) = packed.split_at_mut(rows * time * value);
    (
        outputs.par_chunks_exact_mut(time * value),
        states.par_chunks_exact_mut(shape.state()),
        initial.par_chunks_exact(shape.state()),
        q.par_chunks_exact(time * key),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(row, (output, state, initial, q))| {
            state.copy_from_slice(initial);
            Arch::new().dispatch(Forward { shape, rule: rule(row), q, output, state });
        });
    packed
}

/// A row's pass over its tokens.
struct Forward<'a, R> {
    shape: Shape,
    rule: R,
    /// Queries, `[t, k]`.
    q: &'a [f32],
    /// Takes `S_tᵀ q_t / sqrt(k)`, `[t, v]`.
    output: &'a mut [f32],
    /// The state before the first token, and in the end after the last, `[k, v]`.
    state: &'a mut [f32],
}

impl<R: Rule> WithSimd for Forward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape: Shape { time, key, value, .. }, rule, q, output, state } = self;
        let scale = (key as f32).powf(-0.5);
        for first in (0..value).step_by(count::<S>()) {
            let columns = Columns::from::<S>(first, value);
            let mut part = columns.load_all(simd, state);
            for token in 0..time {
                rule.step(simd, columns, token, &mut part);
                let mut sum = zeros(simd);
                for (q, state) in q[token * key..(token + 1) * key].iter().zip(&part) {
                    sum = add_scaled(simd, sum, scale * q, *state);
                }
                columns.store(simd, output, token, sum);
            }
            columns.store_all(simd, state, &part);
        }
    }
}

/// The factors that log decays come to.
pub(crate) fn decays(g: &[f32]) -> Vec<f32> {
    struct Decays<'a>(&'a [f32]);

    impl WithSimd for Decays<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            exps(simd, self.0)
        }
    }

    Arch::new().dispatch(Decays(g))
}
