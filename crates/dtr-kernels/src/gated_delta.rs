//! The gated delta rule (arXiv 2412.06464): `S' = exp(g) S`, `u = β (v − S'ᵀ k)`, `S = S' + k uᵀ`,
//! `o = Sᵀ q / sqrt(K)`. `S` is the state, and `S'` the decayed state. `β` is the write strength, `u` the
//! vector that is written to the state, and `K` the key width.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::columns::ColumnBlock;
use crate::exp::exp_slice;
use crate::recurrence::{RecurrenceShape, UpdateRule, forward};
use crate::state_checkpoints::{CHUNK, StateCheckpoints};
use crate::vectors::{VectorPair, add_product, add_scaled, dot, lanes_per_pair, scale, zeros};

/// Inputs of the gated delta rule. [`RecurrenceShape`] defines the letters of the shapes.
#[derive(Clone, Copy)]
pub struct DeltaInputs<'a> {
    /// Sizes of the arrays.
    pub shape: RecurrenceShape,
    /// Queries, `[n, t, k]`.
    pub q: &'a [f32],
    /// Keys, `[n, t, k]`.
    pub k: &'a [f32],
    /// Values, `[n, t, v]`.
    pub v: &'a [f32],
    /// Write strengths β, `[n, t]`.
    pub beta: &'a [f32],
    /// Log decays (≤ 0), `[n, t]`.
    pub g: &'a [f32],
    /// States before the first token, `[n, k, v]`.
    pub state: &'a [f32],
}

/// Gradients with respect to the inputs. Each gradient has the shape of its input.
pub struct DeltaGradients {
    /// Gradient with respect to the queries.
    pub q: Vec<f32>,
    /// Gradient with respect to the keys.
    pub k: Vec<f32>,
    /// Gradient with respect to the values.
    pub v: Vec<f32>,
    /// Gradient with respect to the write strengths.
    pub beta: Vec<f32>,
    /// Gradient with respect to the log decays.
    pub g: Vec<f32>,
    /// Gradient with respect to the states before the first token.
    pub state: Vec<f32>,
}

/// Inputs of one row (one head of one sequence), with decays in place of their logarithms.
#[derive(Clone, Copy)]
struct DeltaRow<'a> {
    shape: RecurrenceShape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    beta: &'a [f32],
    decay: &'a [f32],
    state: &'a [f32],
}

impl<'a> DeltaInputs<'a> {
    fn row(&self, decays: &'a [f32], row: usize) -> DeltaRow<'a> {
        let RecurrenceShape { num_tokens, key_dim, value_dim, .. } = self.shape;
        let slice = |x: &'a [f32], size: usize| &x[row * size..(row + 1) * size];
        DeltaRow {
            shape: self.shape,
            q: slice(self.q, num_tokens * key_dim),
            k: slice(self.k, num_tokens * key_dim),
            v: slice(self.v, num_tokens * value_dim),
            beta: slice(self.beta, num_tokens),
            decay: slice(decays, num_tokens),
            state: slice(self.state, self.shape.state_size()),
        }
    }
}

impl<'a> DeltaRow<'a> {
    /// Returns the vector of one token in an array `[t, k]`.
    #[inline(always)]
    fn at_token(&self, x: &'a [f32], token: usize) -> &'a [f32] {
        &x[token * self.shape.key_dim..(token + 1) * self.shape.key_dim]
    }

    /// Returns the prediction error `v − S'ᵀ k` of one token, for one block of columns. `state` is the state
    /// before the token.
    #[inline(always)]
    fn prediction_error<S: Simd>(
        &self,
        simd: S,
        columns: ColumnBlock,
        token: usize,
        state: &[VectorPair<S>],
    ) -> VectorPair<S> {
        let mut prediction = zeros(simd);
        for (k, state) in self.at_token(self.k, token).iter().zip(state) {
            prediction = add_scaled(simd, prediction, *k, *state);
        }
        add_scaled(simd, columns.load_row(simd, self.v, token), -self.decay[token], prediction)
    }
}

impl UpdateRule for DeltaRow<'_> {
    #[inline(always)]
    fn update<S: Simd>(&self, simd: S, columns: ColumnBlock, token: usize, state: &mut [VectorPair<S>]) {
        let u = scale(simd, self.beta[token], self.prediction_error(simd, columns, token, state));
        for (k, state) in self.at_token(self.k, token).iter().zip(state) {
            *state = add_scaled(simd, scale(simd, self.decay[token], *state), *k, u);
        }
    }
}

/// Computes the gated delta rule. Returns the outputs, `[n, t, v]`, followed by the states after the last
/// token, `[n, k, v]`.
pub fn delta_outputs_and_states(inputs: DeltaInputs<'_>) -> Vec<f32> {
    let decays = exp_slice(inputs.g);
    forward(inputs.shape, inputs.q, inputs.state, |row| inputs.row(&decays, row))
}

/// Returns the gradients with respect to the inputs. `d_output` is the gradient with respect to the outputs,
/// `[n, t, v]`, and `d_state` the gradient with respect to the final states, `[n, k, v]`.
pub fn delta_backward(inputs: DeltaInputs<'_>, d_output: &[f32], d_state: &[f32]) -> DeltaGradients {
    let RecurrenceShape { num_tokens, key_dim, value_dim, .. } = inputs.shape;
    let decays = exp_slice(inputs.g);
    let mut gradients = DeltaGradients {
        q: vec![0.0; inputs.q.len()],
        k: vec![0.0; inputs.k.len()],
        v: vec![0.0; inputs.v.len()],
        beta: vec![0.0; inputs.beta.len()],
        g: vec![0.0; inputs.g.len()],
        state: d_state.to_vec(),
    };
    (
        gradients.q.par_chunks_mut(num_tokens * key_dim),
        gradients.k.par_chunks_mut(num_tokens * key_dim),
        gradients.v.par_chunks_mut(num_tokens * value_dim),
        gradients.beta.par_chunks_mut(num_tokens),
        gradients.g.par_chunks_mut(num_tokens),
        gradients.state.par_chunks_mut(inputs.shape.state_size()),
        d_output.par_chunks(num_tokens * value_dim),
    )
        .into_par_iter()
        .enumerate()
        .for_each(|(row, (q, k, v, beta, g, state, d_output))| {
            let gradients = DeltaRowGradients { q, k, v, beta, g, state };
            Arch::new().dispatch(BackwardRow { row: inputs.row(&decays, row), d_output, gradients });
        });
    gradients
}

struct DeltaRowGradients<'a> {
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    beta: &'a mut [f32],
    g: &'a mut [f32],
    /// Holds the gradient of the final state at first. The backward pass replaces it with the gradient of the
    /// initial state.
    state: &'a mut [f32],
}

struct BackwardRow<'a> {
    row: DeltaRow<'a>,
    d_output: &'a [f32],
    gradients: DeltaRowGradients<'a>,
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

impl DeltaRowGradients<'_> {
    /// Adds the contribution of a block of state columns to the gradients of one token. Replaces `d_state`,
    /// the gradient of the state after the token, with the gradient of the state before the token.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn add_token<S: Simd>(
        &mut self,
        simd: S,
        row: &DeltaRow<'_>,
        columns: ColumnBlock,
        token: usize,
        (before, after): (&[VectorPair<S>], &[VectorPair<S>]),
        d_output: VectorPair<S>,
        d_state: &mut [VectorPair<S>],
    ) {
        let key_dim = row.shape.key_dim;
        let channels = token * key_dim..(token + 1) * key_dim;
        let (q, k) = (&row.q[channels.clone()], &row.k[channels.clone()]);
        let (d_q, d_k) = (&mut self.q[channels.clone()], &mut self.k[channels]);
        let (beta, decay) = (row.beta[token], row.decay[token]);
        let error = row.prediction_error(simd, columns, token, before);
        let mut d_u = zeros(simd);
        for (index, d_state) in d_state.iter_mut().enumerate() {
            d_q[index] += dot(simd, after[index], d_output);
            *d_state = add_scaled(simd, *d_state, q[index], d_output);
            d_k[index] += beta * dot(simd, *d_state, error);
            d_u = add_scaled(simd, d_u, k[index], *d_state);
        }
        self.beta[token] += dot(simd, d_u, error);
        let d_error = scale(simd, beta, d_u);
        columns.store_row(simd, self.v, token, d_error);
        let mut d_decay = zeros(simd);
        for (index, d_state) in d_state.iter_mut().enumerate() {
            d_k[index] -= decay * dot(simd, before[index], d_error);
            let d_decayed = add_scaled(simd, *d_state, -k[index], d_error);
            *d_state = scale(simd, decay, d_decayed);
            d_decay = add_product(simd, d_decay, *d_state, before[index]);
        }
        self.g[token] += simd.reduce_sum_f32s(simd.add_f32s(d_decay[0], d_decay[1]));
    }
}
