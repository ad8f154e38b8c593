//! Gated linear attention (arXiv 2312.06635): `S ← diag(exp(g)) S + k vᵀ`, `o = Sᵀ q / sqrt(K)`. `S` is the
//! state and `K` the key width.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::columns::ColumnBlock;
use crate::exp::exp_slice;
use crate::recurrence::{RecurrenceShape, UpdateRule, forward};
use crate::state_checkpoints::{CHUNK, StateCheckpoints};
use crate::vectors::{VectorPair, add_scaled, dot, lanes_per_pair, scale, zeros};

/// Inputs of gated linear attention. [`RecurrenceShape`] defines the letters of the shapes.
#[derive(Clone, Copy)]
pub struct GlaInputs<'a> {
    /// Sizes of the arrays.
    pub shape: RecurrenceShape,
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

/// Gradients with respect to the inputs. Each gradient has the shape of its input.
pub struct GlaGradients {
    /// Gradient with respect to the queries.
    pub q: Vec<f32>,
    /// Gradient with respect to the keys.
    pub k: Vec<f32>,
    /// Gradient with respect to the values.
    pub v: Vec<f32>,
    /// Gradient with respect to the log decays.
    pub g: Vec<f32>,
    /// Gradient with respect to the states before the first token.
    pub state: Vec<f32>,
}

/// Inputs of one row (one head of one sequence), with decays in place of their logarithms.
#[derive(Clone, Copy)]
struct GlaRow<'a> {
    shape: RecurrenceShape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    decay: &'a [f32],
    state: &'a [f32],
}

impl<'a> GlaInputs<'a> {
    fn row(&self, decays: &'a [f32], row: usize) -> GlaRow<'a> {
        let RecurrenceShape { num_tokens, key_dim, value_dim, .. } = self.shape;
        let slice = |x: &'a [f32], size: usize| &x[row * size..(row + 1) * size];
        GlaRow {
            shape: self.shape,
            q: slice(self.q, num_tokens * key_dim),
            k: slice(self.k, num_tokens * key_dim),
            v: slice(self.v, num_tokens * value_dim),
            decay: slice(decays, num_tokens * key_dim),
            state: slice(self.state, self.shape.state_size()),
        }
    }
}

impl<'a> GlaRow<'a> {
    /// Returns the vector of one token in an array `[t, k]`.
    #[inline(always)]
    fn at_token(&self, x: &'a [f32], token: usize) -> &'a [f32] {
        &x[token * self.shape.key_dim..(token + 1) * self.shape.key_dim]
    }
}

impl UpdateRule for GlaRow<'_> {
    #[inline(always)]
    fn update<S: Simd>(&self, simd: S, columns: ColumnBlock, token: usize, state: &mut [VectorPair<S>]) {
        let v = columns.load_row(simd, self.v, token);
        let channels = self.at_token(self.k, token).iter().zip(self.at_token(self.decay, token));
        for (state, (k, decay)) in state.iter_mut().zip(channels) {
            *state = add_scaled(simd, scale(simd, *decay, *state), *k, v);
        }
    }
}

/// Computes gated linear attention. Returns the outputs, `[n, t, v]`, followed by the states after the last
/// token, `[n, k, v]`.
pub fn gla_outputs_and_states(inputs: GlaInputs<'_>) -> Vec<f32> {
    let decays = exp_slice(inputs.g);
    forward(inputs.shape, inputs.q, inputs.state, |row| inputs.row(&decays, row))
}

/// Returns the gradients with respect to the inputs. `d_output` is the gradient with respect to the outputs,
/// `[n, t, v]`, and `d_state` the gradient with respect to the final states, `[n, k, v]`.
pub fn gla_backward(inputs: GlaInputs<'_>, d_output: &[f32], d_state: &[f32]) -> GlaGradients {
    let RecurrenceShape { num_tokens, key_dim, value_dim, .. } = inputs.shape;
    let decays = exp_slice(inputs.g);
    let mut gradients = GlaGradients {
        q: vec![0.0; inputs.q.len()],
        k: vec![0.0; inputs.k.len()],
        v: vec![0.0; inputs.v.len()],
        g: vec![0.0; inputs.g.len()],
        state: d_state.to_vec(),
    };
    (
        gradients.q.par_chunks_mut(num_tokens * key_dim),
        gradients.k.par_chunks_mut(num_tokens * key_dim),
        gradients.v.par_chunks_mut(num_tokens * value_dim),
        gradients.g.par_chunks_mut(num_tokens * key_dim),
        gradients.state.par_chunks_mut(inputs.shape.state_size()),
        d_output.par_chunks(num_tokens * value_dim),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(row, (q, k, v, g, state, d_output))| {
            let gradients = GlaRowGradients { q, k, v, g, state };
            Arch::new().dispatch(BackwardRow { row: inputs.row(&decays, row), d_output, gradients });
        });
    gradients
}

struct GlaRowGradients<'a> {
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a mut [f32],
    /// Holds the gradient of the final state at first. The backward pass replaces it with the gradient of the
    /// initial state.
    state: &'a mut [f32],
}

struct BackwardRow<'a> {
    row: GlaRow<'a>,
    d_output: &'a [f32],
    gradients: GlaRowGradients<'a>,
}

impl WithSimd for BackwardRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { row, d_output, gradients: mut d } = self;
        let RecurrenceShape { num_tokens, key_dim, value_dim, .. } = row.shape;
        let output_scale = (key_dim as f32).powf(-0.5);
        for first in (0..value_dim).step_by(lanes_per_pair::<S>()) {
            let columns = ColumnBlock::new::<S>(first, value_dim);
            let mut states = StateCheckpoints::record(simd, num_tokens, columns, row.state, &row);
            let mut d_state = columns.load_rows(simd, d.state);
            for first in (0..num_tokens).step_by(CHUNK).rev() {
                let end = num_tokens.min(first + CHUNK);
                states.recompute_chunk(simd, first, end, &row);
                for token in (first..end).rev() {
                    let around = states.before_and_after(token - first);
                    let d_output = scale(simd, output_scale, columns.load_row(simd, d_output, token));
                    d.add_token(simd, &row, columns, token, around, d_output, &mut d_state);
                }
            }
            columns.store_rows(simd, d.state, &d_state);
        }
    }
}

impl GlaRowGradients<'_> {
    /// Adds the contribution of a block of state columns to the gradients of one token. Replaces `d_state`,
    /// the gradient of the state after the token, with the gradient of the state before the token.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn add_token<S: Simd>(
        &mut self,
        simd: S,
        row: &GlaRow<'_>,
        columns: ColumnBlock,
        token: usize,
        (before, after): (&[VectorPair<S>], &[VectorPair<S>]),
        d_output: VectorPair<S>,
        d_state: &mut [VectorPair<S>],
    ) {
        let key_dim = row.shape.key_dim;
        let channels = token * key_dim..(token + 1) * key_dim;
        let (q, k) = (&row.q[channels.clone()], &row.k[channels.clone()]);
        let decays = &row.decay[channels.clone()];
        let (d_q, d_k) = (&mut self.q[channels.clone()], &mut self.k[channels.clone()]);
        let d_g = &mut self.g[channels];
        let v = columns.load_row(simd, row.v, token);
        let mut d_v = zeros(simd);
        for (index, d_state) in d_state.iter_mut().enumerate() {
            d_q[index] += dot(simd, after[index], d_output);
            let d_after = add_scaled(simd, *d_state, q[index], d_output);
            d_k[index] += dot(simd, d_after, v);
            d_v = add_scaled(simd, d_v, k[index], d_after);
            *d_state = scale(simd, decays[index], d_after);
            d_g[index] += dot(simd, *d_state, before[index]);
        }
        columns.store_row(simd, self.v, token, d_v);
    }
}
