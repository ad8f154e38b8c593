//! The gated delta rule (arXiv 2412.06464): `S' = exp(g) S`, `u = β (v − S'ᵀ k)`, `S = S' + k uᵀ`,
//! `o = Sᵀ q / sqrt(K)`.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::Shape;
use crate::lanes::{add_scaled, dot, scale as scale_by};
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

/// One row's inputs.
#[derive(Clone, Copy)]
struct Row<'a> {
    shape: Shape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    beta: &'a [f32],
    g: &'a [f32],
    state: &'a [f32],
}

impl<'a> DeltaInputs<'a> {
    fn row(&self, row: usize) -> Row<'a> {
        let Shape { time, key, value, .. } = self.shape;
        let of = |x: &'a [f32], size: usize| &x[row * size..(row + 1) * size];
        Row {
            shape: self.shape,
            q: of(self.q, time * key),
            k: of(self.k, time * key),
            v: of(self.v, time * value),
            beta: of(self.beta, time),
            g: of(self.g, time),
            state: of(self.state, key * value),
        }
    }
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn key(&self, token: usize) -> &'a [f32] {
        &self.k[token * self.shape.key..(token + 1) * self.shape.key]
    }

    #[inline(always)]
    fn value(&self, token: usize) -> &'a [f32] {
        &self.v[token * self.shape.value..(token + 1) * self.shape.value]
    }

    /// The token's state update; leaves what it wrote, `u`, in `update`.
    #[inline(always)]
    fn step(&self, token: usize, state: &mut [f32], update: &mut [f32]) {
        let (k, value) = (self.key(token), self.shape.value);
        scale_by(state, self.g[token].exp());
        update.copy_from_slice(self.value(token));
        for (k, state) in k.iter().zip(state.chunks_exact(value)) {
            add_scaled(update, -k, state);
        }
        scale_by(update, self.beta[token]);
        for (k, state) in k.iter().zip(state.chunks_exact_mut(value)) {
            add_scaled(state, *k, update);
        }
    }
}

/// Outputs `[n, t, v]` and the states after the last token, `[n, k, v]`.
pub fn delta_forward(inputs: DeltaInputs<'_>) -> (Vec<f32>, Vec<f32>) {
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
    let Shape { key, value, .. } = row.shape;
    let scale = (key as f32).powf(-0.5);
    let mut update = vec![0.0; value];
    for (token, output) in output.chunks_exact_mut(value).enumerate() {
        row.step(token, state, &mut update);
        let q = &row.q[token * key..(token + 1) * key];
        for (q, state) in q.iter().zip(state.chunks_exact(value)) {
            add_scaled(output, scale * q, state);
        }
    }
}

/// Gradients of the inputs from those of the outputs `[n, t, v]` and of the last states `[n, k, v]`.
pub fn delta_backward(inputs: DeltaInputs<'_>, d_output: &[f32], d_state: &[f32]) -> DeltaGradients {
    let Shape { time, key, value, .. } = inputs.shape;
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
            backward_row(inputs.row(row), d_output, RowGradients { q, k, v, beta, g, state });
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

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn backward_row<'a>(row: Row<'a>, d_output: &'a [f32], d: RowGradients<'a>) {
    let Shape { time, key, value, .. } = row.shape;
    let scale = (key as f32).powf(-0.5);
    let mut update = vec![0.0; value];
    let mut d_update = vec![0.0; value];
    let mut tape = Tape::record(time, row.state, |token, state| row.step(token, state, &mut update));
    for first in (0..time).step_by(STRETCH).rev() {
        let end = time.min(first + STRETCH);
        tape.replay(first, end, |token, state| row.step(token, state, &mut update));
        for token in (first..end).rev() {
            let (before, after) = tape.around(token - first);
            let (k, beta, decay) = (row.key(token), row.beta[token], row.g[token].exp());
            let d_output = &d_output[token * value..(token + 1) * value];
            // What was written: the state after less the decayed one, along the key's direction, is
            // made again as in the step, for keys may be zero.
            update.copy_from_slice(row.value(token));
            for (k, before) in k.iter().zip(before.chunks_exact(value)) {
                add_scaled(&mut update, -k * decay, before);
            }
            d_update.fill(0.0);
            for index in 0..key {
                let at = token * key + index;
                let channel = index * value..(index + 1) * value;
                let d_state = &mut d.state[channel.clone()];
                d.q[at] = scale * dot(&after[channel], d_output);
                add_scaled(d_state, scale * row.q[at], d_output);
                d.k[at] = beta * dot(d_state, &update);
                add_scaled(&mut d_update, k[index], d_state);
            }
            d.beta[token] = dot(&d_update, &update);
            scale_by(&mut d_update, beta);
            d.v[token * value..(token + 1) * value].copy_from_slice(&d_update);
            let mut d_decay = 0.0;
            for index in 0..key {
                let at = token * key + index;
                let channel = index * value..(index + 1) * value;
                let (before, d_state) = (&before[channel.clone()], &mut d.state[channel]);
                d.k[at] -= decay * dot(before, &d_update);
                add_scaled(d_state, -k[index], &d_update);
                d_decay += dot(d_state, before);
                scale_by(d_state, decay);
            }
            d.g[token] = decay * d_decay;
        }
    }
}
