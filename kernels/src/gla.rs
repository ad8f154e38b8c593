//! Gated linear attention (arXiv 2312.06635): `S ← diag(exp(g)) S + k vᵀ`, `o = Sᵀ q / sqrt(K)`.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::Shape;
use crate::lanes::{Columns, LANES, Lanes, add_scaled, dot, exps, scale as scale_by};
use crate::tape::{STRETCH, Tape, Walk};

/// What the recurrence reads.
#[derive(Clone, Copy)]
pub struct GlaInputs<'a> {
    /// Sizes.
    pub shape: Shape,
    /// Queries, `[n, t, k]`.
    pub q: &'a [f32],
    /// Keys, `[n, t, k]`.
    pub k: &'a [f32],
    /// Values, `[n, t, v]`.
    pub v: &'a [f32],
    /// Log decays (≤ 0), `[n, t, k]`.
    pub g: &'a [f32],
    /// States before the first token, `[n, k, v]`.
    pub state: &'a [f32],
}

/// Gradients of what the recurrence reads, in its shapes.
pub struct GlaGradients {
    /// Of queries.
    pub q: Vec<f32>,
    /// Of keys.
    pub k: Vec<f32>,
    /// Of values.
    pub v: Vec<f32>,
    /// Of log decays.
    pub g: Vec<f32>,
    /// Of the states before the first token.
    pub state: Vec<f32>,
}

/// One row's inputs.
#[derive(Clone, Copy)]
struct Row<'a> {
    shape: Shape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    g: &'a [f32],
    state: &'a [f32],
}

impl<'a> GlaInputs<'a> {
    fn row(&self, row: usize) -> Row<'a> {
        let Shape { time, key, value, .. } = self.shape;
        let of = |x: &'a [f32], size: usize| &x[row * size..(row + 1) * size];
        Row {
            shape: self.shape,
            q: of(self.q, time * key),
            k: of(self.k, time * key),
            v: of(self.v, time * value),
            g: of(self.g, time * key),
            state: of(self.state, key * value),
        }
    }
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn of_token(&self, x: &'a [f32], token: usize) -> &'a [f32] {
        &x[token * self.shape.key..(token + 1) * self.shape.key]
    }
}

/// Some value channels of a row, and the factors that its decays come to, `[t, k]`.
struct Channels<'a> {
    row: Row<'a>,
    decays: &'a [f32],
    columns: Columns,
}

impl Walk for Channels<'_> {
    #[inline(always)]
    fn step(&self, token: usize, state: &mut [Lanes]) {
        let (row, key) = (self.row, self.row.shape.key);
        let v = self.columns.load(row.v, token);
        let decays = &self.decays[token * key..(token + 1) * key];
        for ((state, k), decay) in state.iter_mut().zip(row.of_token(row.k, token)).zip(decays) {
            scale_by(state, *decay);
            add_scaled(state, *k, &v);
        }
    }
}

/// Outputs `[n, t, v]` and the states after the last token, `[n, k, v]`.
pub fn gla_forward(inputs: GlaInputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let Shape { rows, time, value, .. } = inputs.shape;
    let mut outputs = vec![0.0; rows * time * value];
    let mut states = inputs.state.to_vec();
    outputs
        .par_chunks_mut(time * value)
        .zip(states.par_chunks_mut(inputs.shape.state()))
        .enumerate()
        .for_each(|(row, (output, state))| forward_row(inputs.row(row), output, state));
    (outputs, states)
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn forward_row<'a>(row: Row<'a>, output: &'a mut [f32], state: &'a mut [f32]) {
    let Shape { time, key, value, .. } = row.shape;
    let scale = (key as f32).powf(-0.5);
    let decays = exps(row.g);
    for columns in Columns::of(value) {
        let walk = Channels { row, decays: &decays, columns };
        let mut part = columns.load_all(state);
        for token in 0..time {
            walk.step(token, &mut part);
            let mut sum = [0.0; LANES];
            for (q, state) in row.of_token(row.q, token).iter().zip(&part) {
                add_scaled(&mut sum, scale * q, state);
            }
            columns.store(output, token, &sum);
        }
        columns.store_all(state, &part);
    }
}

/// Gradients of the inputs from those of the outputs `[n, t, v]` and of the last states `[n, k, v]`.
pub fn gla_backward(inputs: GlaInputs<'_>, d_output: &[f32], d_state: &[f32]) -> GlaGradients {
    let Shape { time, key, value, .. } = inputs.shape;
    let mut gradients = GlaGradients {
        q: vec![0.0; inputs.q.len()],
        k: vec![0.0; inputs.k.len()],
        v: vec![0.0; inputs.v.len()],
        g: vec![0.0; inputs.g.len()],
        state: d_state.to_vec(),
    };
    (
        gradients.q.par_chunks_mut(time * key),
        gradients.k.par_chunks_mut(time * key),
        gradients.v.par_chunks_mut(time * value),
        gradients.g.par_chunks_mut(time * key),
        gradients.state.par_chunks_mut(inputs.shape.state()),
        d_output.par_chunks(time * value),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(row, (q, k, v, g, state, d_output))| {
            backward_row(inputs.row(row), d_output, RowGradients { q, k, v, g, state });
        });
    gradients
}

struct RowGradients<'a> {
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a mut [f32],
    /// Of the state after the token at hand; in the end of the first state.
    state: &'a mut [f32],
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn backward_row<'a>(row: Row<'a>, d_output: &'a [f32], d: RowGradients<'a>) {
    let Shape { time, key, value, .. } = row.shape;
    let scale = (key as f32).powf(-0.5);
    let decays = exps(row.g);
    for columns in Columns::of(value) {
        let walk = Channels { row, decays: &decays, columns };
        let mut tape = Tape::record(time, columns.load_all(row.state), &walk);
        let mut d_state = columns.load_all(d.state);
        for first in (0..time).step_by(STRETCH).rev() {
            let end = time.min(first + STRETCH);
            tape.replay(first, end, &walk);
            for token in (first..end).rev() {
                let (before, after) = tape.around(token - first);
                let of_token = token * key..(token + 1) * key;
                let (q, k) = (&row.q[of_token.clone()], &row.k[of_token.clone()]);
                let decays = &decays[of_token.clone()];
                let (d_q, d_k) = (&mut d.q[of_token.clone()], &mut d.k[of_token.clone()]);
                let d_g = &mut d.g[of_token];
                let v = columns.load(row.v, token);
                let mut d_output = columns.load(d_output, token);
                scale_by(&mut d_output, scale);
                let mut d_v = [0.0; LANES];
                for (index, d_state) in d_state.iter_mut().enumerate() {
                    d_q[index] += dot(&after[index], &d_output);
                    add_scaled(d_state, q[index], &d_output);
                    d_k[index] += dot(d_state, &v);
                    add_scaled(&mut d_v, k[index], d_state);
                    scale_by(d_state, decays[index]);
                    d_g[index] += dot(d_state, &before[index]);
                }
                columns.store(d.v, token, &d_v);
            }
        }
        columns.store_all(d.state, &d_state);
    }
}
