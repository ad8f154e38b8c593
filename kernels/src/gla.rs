//! Gated linear attention (arXiv 2312.06635): `S ← diag(exp(g)) S + k vᵀ`, `o = Sᵀ q / sqrt(K)`.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::Shape;
use crate::lanes::{add_scaled, dot};
use crate::tape::{STRETCH, Tape};

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

impl Row<'_> {
    /// The token's state update, and its output if wanted.
    #[inline(always)]
    fn step(&self, token: usize, state: &mut [f32], mut output: Option<&mut [f32]>) {
        let Shape { key, value, .. } = self.shape;
        let scale = (key as f32).powf(-0.5);
        let v = &self.v[token * value..(token + 1) * value];
        for (index, state) in state.chunks_exact_mut(value).enumerate() {
            let at = token * key + index;
            let (decay, k, q) = (self.g[at].exp(), self.k[at], self.q[at] * scale);
            for (state, v) in state.iter_mut().zip(v) {
                *state = *state * decay + k * v;
            }
            if let Some(output) = output.as_deref_mut() {
                add_scaled(output, q, state);
            }
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
    for (token, output) in output.chunks_exact_mut(row.shape.value).enumerate() {
        row.step(token, state, Some(output));
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
    let mut tape = Tape::record(time, row.state, |token, state| row.step(token, state, None));
    for first in (0..time).step_by(STRETCH).rev() {
        let end = time.min(first + STRETCH);
        tape.replay(first, end, |token, state| row.step(token, state, None));
        for token in (first..end).rev() {
            let (before, after) = tape.around(token - first);
            let v = &row.v[token * value..(token + 1) * value];
            let d_output = &d_output[token * value..(token + 1) * value];
            let d_v = &mut d.v[token * value..(token + 1) * value];
            for index in 0..key {
                let at = token * key + index;
                let channel = index * value..(index + 1) * value;
                let d_state = &mut d.state[channel.clone()];
                d.q[at] = scale * dot(&after[channel.clone()], d_output);
                add_scaled(d_state, scale * row.q[at], d_output);
                d.k[at] = dot(d_state, v);
                add_scaled(d_v, row.k[at], d_state);
                let decay = row.g[at].exp();
                d.g[at] = decay * dot(d_state, &before[channel]);
                crate::lanes::scale(d_state, decay);
            }
        }
    }
}
