//! The gated delta rule (arXiv 2412.06464): `S' = exp(g) S`, `u = β (v − S'ᵀ k)`, `S = S' + k uᵀ`,
//! `o = Sᵀ q / sqrt(K)`.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::Shape;
use crate::lanes::{Columns, Lanes, add_product, add_scaled, count, dot, scaled, zeros};
use crate::rule::{Rule, decays, forward};
use crate::tape::{STRETCH, Tape};

/// What the recurrence reads.
#[derive(Clone, Copy)]
pub struct DeltaInputs<'a> {
    /// Sizes.
    pub shape: Shape,
    /// Queries, `[n, t, k]`.
    pub q: &'a [f32],
    /// Keys, `[n, t, k]`.
    pub k: &'a [f32],
    /// Values, `[n, t, v]`.
    pub v: &'a [f32],
    /// Write strengths, `[n, t]`.
    pub beta: &'a [f32],
    /// Log decays (≤ 0), `[n, t]`.
    pub g: &'a [f32],
    /// States before the first token, `[n, k, v]`.
    pub state: &'a [f32],
}

/// Gradients of what the recurrence reads, in its shapes.
pub struct DeltaGradients {
    /// Of queries.
    pub q: Vec<f32>,
    /// Of keys.
    pub k: Vec<f32>,
    /// Of values.
    pub v: Vec<f32>,
    /// Of write strengths.
    pub beta: Vec<f32>,
    /// Of log decays.
    pub g: Vec<f32>,
    /// Of the states before the first token.
    pub state: Vec<f32>,
}

/// One row's inputs, decays as the factors that they come to.
#[derive(Clone, Copy)]
struct Row<'a> {
    shape: Shape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    beta: &'a [f32],
    decay: &'a [f32],
    state: &'a [f32],
}

impl<'a> DeltaInputs<'a> {
    fn row(&self, decays: &'a [f32], row: usize) -> Row<'a> {
        let Shape { time, key, value, .. } = self.shape;
        let of = |x: &'a [f32], size: usize| &x[row * size..(row + 1) * size];
        Row {
            shape: self.shape,
            q: of(self.q, time * key),
            k: of(self.k, time * key),
            v: of(self.v, time * value),
            beta: of(self.beta, time),
            decay: of(decays, time),
            state: of(self.state, key * value),
        }
    }
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn of_token(&self, x: &'a [f32], token: usize) -> &'a [f32] {
        &x[token * self.shape.key..(token + 1) * self.shape.key]
    }

    /// What the token adds along its key, but for the write strength: the value less what the decayed
    /// state recalls, some columns of it.
    #[inline(always)]
    fn surprise<S: Simd>(&self, simd: S, columns: Columns, token: usize, state: &[Lanes<S>]) -> Lanes<S> {
        let mut recalled = zeros(simd);
        for (k, state) in self.of_token(self.k, token).iter().zip(state) {
            recalled = add_scaled(simd, recalled, *k, *state);
        }
        add_scaled(simd, columns.load(simd, self.v, token), -self.decay[token], recalled)
    }
}

impl Rule for Row<'_> {
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, columns: Columns, token: usize, state: &mut [Lanes<S>]) {
        let write = scaled(simd, self.beta[token], self.surprise(simd, columns, token, state));
        for (k, state) in self.of_token(self.k, token).iter().zip(state) {
            *state = add_scaled(simd, scaled(simd, self.decay[token], *state), *k, write);
        }
    }
}

/// Outputs `[n, t, v]`, and behind them the states after the last token, `[n, k, v]`.
pub fn delta_forward(inputs: DeltaInputs<'_>) -> Vec<f32> {
    let decays = decays(inputs.g);
    forward(inputs.shape, inputs.q, inputs.state, |row| inputs.row(&decays, row))
}

/// Gradients of the inputs from those of the outputs `[n, t, v]` and of the last states `[n, k, v]`.
pub fn delta_backward(inputs: DeltaInputs<'_>, d_output: &[f32], d_state: &[f32]) -> DeltaGradients {
    let Shape { time, key, value, .. } = inputs.shape;
    let decays = decays(inputs.g);
    let mut gradients = DeltaGradients {
        q: vec![0.0; inputs.q.len()],
        k: vec![0.0; inputs.k.len()],
        v: vec![0.0; inputs.v.len()],
        beta: vec![0.0; inputs.beta.len()],
        g: vec![0.0; inputs.g.len()],
        state: d_state.to_vec(),
    };
    (
        gradients.q.par_chunks_mut(time * key),
        gradients.k.par_chunks_mut(time * key),
        gradients.v.par_chunks_mut(time * value),
        gradients.beta.par_chunks_mut(time),
        gradients.g.par_chunks_mut(time),
        gradients.state.par_chunks_mut(inputs.shape.state()),
        d_output.par_chunks(time * value),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(row, (q, k, v, beta, g, state, d_output))| {
            let d = RowGradients { q, k, v, beta, g, state };
            Arch::new().dispatch(Backward { row: inputs.row(&decays, row), d_output, d });
        });
    gradients
}

struct RowGradients<'a> {
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    beta: &'a mut [f32],
    g: &'a mut [f32],
    /// Of the state after the token at hand; in the end of the first state.
    state: &'a mut [f32],
}

struct Backward<'a> {
    row: Row<'a>,
    d_output: &'a [f32],
    d: RowGradients<'a>,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { row, d_output, d } = self;
        let Shape { time, key, value, .. } = row.shape;
        let scale = (key as f32).powf(-0.5);
        for first in (0..value).step_by(count::<S>()) {
            let columns = Columns::from::<S>(first, value);
            let mut tape = Tape::record(simd, time, columns, row.state, &row);
            let mut d_state = columns.load_all(simd, d.state);
            for first in (0..time).step_by(STRETCH).rev() {
                let end = time.min(first + STRETCH);
                tape.replay(simd, first, end, &row);
                for token in (first..end).rev() {
                    let (before, after) = tape.around(token - first);
                    let of_token = token * key..(token + 1) * key;
                    let (q, k) = (&row.q[of_token.clone()], &row.k[of_token.clone()]);
                    let (d_q, d_k) = (&mut d.q[of_token.clone()], &mut d.k[of_token]);
                    let (beta, decay) = (row.beta[token], row.decay[token]);
                    let surprise = row.surprise(simd, columns, token, before);
                    let d_output = scaled(simd, scale, columns.load(simd, d_output, token));
                    let mut d_write = zeros(simd);
                    for (index, d_state) in d_state.iter_mut().enumerate() {
                        d_q[index] += dot(simd, after[index], d_output);
                        *d_state = add_scaled(simd, *d_state, q[index], d_output);
                        d_k[index] += beta * dot(simd, *d_state, surprise);
                        d_write = add_scaled(simd, d_write, k[index], *d_state);
                    }
                    d.beta[token] += dot(simd, d_write, surprise);
                    let d_surprise = scaled(simd, beta, d_write);
                    columns.store(simd, d.v, token, d_surprise);
                    let mut d_decay = zeros(simd);
                    for (index, d_state) in d_state.iter_mut().enumerate() {
                        d_k[index] -= decay * dot(simd, before[index], d_surprise);
                        let d_kept = add_scaled(simd, *d_state, -k[index], d_surprise);
                        *d_state = scaled(simd, decay, d_kept);
                        d_decay = add_product(simd, d_decay, *d_state, before[index]);
                    }
                    d.g[token] += simd.reduce_sum_f32s(simd.add_f32s(d_decay[0], d_decay[1]));
                }
            }
            columns.store_all(simd, d.state, &d_state);
        }
    }
}
