//! The forward pass of causal softmax attention, `softmax(q Kᵀ / sqrt(k)) V`. `k` is the width of a head. The
//! kernel takes a few queries at a time and never stores the matrix of all scores.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::columns::ColumnBlock;
use crate::exp::exp;
use crate::vectors::{VectorPair, add_scaled, lanes_per_pair, load, scale, store, zeros};

/// Inputs of [`attention_forward`].
#[derive(Clone, Copy)]
pub struct AttentionInputs<'a> {
    /// Number of rows of the batch, `b`.
    pub batch: usize,
    /// Number of query heads, `h`.
    pub heads: usize,
    /// Number of key/value heads, `g`. `heads / kv_heads` neighbouring query heads share each key/value head.
    pub kv_heads: usize,
    /// Number of queries of a row, `t`.
    pub num_queries: usize,
    /// Number of keys of each row of the batch, `[b]`. The last query of a row has the position of the row's
    /// last key.
    pub num_keys: &'a [usize],
    /// Capacity of the cache, `s`: each row has memory for this many keys. The kernel reads the first
    /// `num_keys` keys of the row.
    pub capacity: usize,
    /// Width of a head, `k`.
    pub width: usize,
    /// Queries, `[b, h, t, k]`.
    pub q: &'a [f32],
    /// Keys, `[b, g, s, k]`.
    pub k: &'a [f32],
    /// Values, `[b, g, s, k]`.
    pub v: &'a [f32],
    /// Number of padding tokens at the beginning of each row of the batch, `[b]`. `None` means no padding.
    /// The query of a padding token attends only to its own key. Other queries do not attend to padding keys.
    pub left_pads: Option<&'a [usize]>,
}

/// Computes attention. Returns the outputs, `[b, h, t, k]`.
pub fn attention_forward(inputs: AttentionInputs<'_>) -> Vec<f32> {
    let AttentionInputs { batch, heads, kv_heads, num_queries, num_keys, capacity, width, .. } = inputs;
    let mut outputs = vec![0.0; batch * heads * num_queries * width];
    outputs.par_chunks_mut(num_queries * width).enumerate().for_each(|(row, output)| {
        let (batch, head) = (row / heads, row % heads);
        let kv_row = batch * kv_heads + head / (heads / kv_heads);
        let num_keys = num_keys[batch];
        let head = QueryHead {
            q: &inputs.q[row * num_queries * width..(row + 1) * num_queries * width],
            k: &inputs.k[kv_row * capacity * width..][..num_keys * width],
            v: &inputs.v[kv_row * capacity * width..][..num_keys * width],
            left_pad: inputs.left_pads.map_or(0, |pads| pads[batch]),
            num_past_keys: num_keys - num_queries,
            width,
        };
        Arch::new().dispatch(AttendHead { head, output });
    });
    outputs
}

/// One query head of one row, with its keys and values.
#[derive(Clone, Copy)]
struct QueryHead<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    left_pad: usize,
    /// Number of keys before the key of the first query.
    num_past_keys: usize,
    width: usize,
}

/// Number of queries that share one pass over the keys and values.
const QUERIES_PER_BLOCK: usize = 4;

struct AttendHead<'a> {
    head: QueryHead<'a>,
    output: &'a mut [f32],
}

impl WithSimd for AttendHead<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, output } = self;
        let width = head.width;
        let keys = transpose_keys(simd, head.k, width);
        let stride = keys.len() / width * lanes_per_pair::<S>();
        let mut weights = vec![0.0; QUERIES_PER_BLOCK * stride];
        let num_queries = head.q.len() / width;
        for query in (0..num_queries).step_by(QUERIES_PER_BLOCK) {
            let queries = query..num_queries.min(query + QUERIES_PER_BLOCK);
            let visible = head.score(simd, queries.clone(), &keys, &mut weights);
            let mut totals = [1.0; QUERIES_PER_BLOCK];
            let rows = weights.chunks_exact_mut(stride).zip(&mut totals);
            for (query, (weights, total)) in queries.clone().zip(rows) {
                *total = head.exponentiate(simd, query, visible.clone(), weights);
            }
            for first in (0..width).step_by(lanes_per_pair::<S>()) {
                let columns = ColumnBlock::new::<S>(first, width);
                head.average_values(
                    simd,
                    queries.clone(),
                    visible.clone(),
                    columns,
                    &weights,
                    totals,
                    output,
                );
            }
        }
    }
}

/// Returns the keys, `[num_keys, k]`, in blocks of [`lanes_per_pair`] keys. A block holds one [`VectorPair`]
/// per channel. Lane `i` of each pair belongs to key `i` of the block.
#[inline(always)]
fn transpose_keys<S: Simd>(simd: S, keys: &[f32], width: usize) -> Vec<VectorPair<S>> {
    let mut transposed = Vec::with_capacity((keys.len() / width).div_ceil(lanes_per_pair::<S>()) * width);
    let mut lanes = vec![0.0; lanes_per_pair::<S>()];
    for block in keys.chunks(lanes_per_pair::<S>() * width) {
        for channel in 0..width {
            lanes.fill(0.0);
            for (lane, key) in lanes.iter_mut().zip(block.chunks_exact(width)) {
                *lane = key[channel];
            }
            transposed.push(load(simd, &lanes));
        }
    }
    transposed
}

impl QueryHead<'_> {
    /// Returns the keys that `query` attends to.
    #[inline(always)]
    fn visible_keys(&self, query: usize) -> Range<usize> {
        let last = self.num_past_keys + query;
        self.left_pad.min(last)..last + 1
    }

    /// Writes the scores of the consecutive queries `queries`. Returns the range of keys that at least one of
    /// the queries attends to. The start of the range is rounded down to the beginning of a block of keys.
    #[inline(always)]
    fn score<S: Simd>(
        &self,
        simd: S,
        queries: Range<usize>,
        keys: &[VectorPair<S>],
        scores: &mut [f32],
    ) -> Range<usize> {
        let (width, stride, lanes) = (self.width, scores.len() / QUERIES_PER_BLOCK, lanes_per_pair::<S>());
        let factor = (width as f32).powf(-0.5);
        let (first, end) = (self.visible_keys(queries.start).start, self.visible_keys(queries.end - 1).end);
        let mut q = [&self.q[..0]; QUERIES_PER_BLOCK];
        for (index, q) in q.iter_mut().enumerate() {
            // If the block has too few queries, the last query is repeated.
            let query = (queries.start + index).min(queries.end - 1);
            *q = &self.q[query * width..(query + 1) * width];
        }
        for block in first / lanes..end.div_ceil(lanes) {
            let mut sums = [zeros(simd); QUERIES_PER_BLOCK];
            for (channel, keys) in keys[block * width..(block + 1) * width].iter().enumerate() {
                for (sum, q) in sums.iter_mut().zip(&q) {
                    *sum = add_scaled(simd, *sum, factor * q[channel], *keys);
                }
            }
            for (index, sum) in sums.into_iter().enumerate() {
                let start = index * stride + block * lanes;
                store(simd, &mut scores[start..start + lanes], sum);
            }
        }
        first / lanes * lanes..end
    }

    /// Replaces each score of `query` with `exp(score − highest score)`. Keys that the query does not attend
    /// to get 0. Returns the sum of the exponentials.
    #[inline(always)]
    fn exponentiate<S: Simd>(&self, simd: S, query: usize, keys: Range<usize>, scores: &mut [f32]) -> f32 {
        let visible = self.visible_keys(query);
        scores[keys.start..visible.start].fill(f32::NEG_INFINITY);
        let end = keys.end.next_multiple_of(S::F32_LANES);
        scores[visible.end..end].fill(f32::NEG_INFINITY);
        let scores = &mut scores[keys.start..end];
        let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
        for scores in scores.chunks_exact(S::F32_LANES) {
            highest = simd.max_f32s(highest, simd.partial_load_f32s(scores));
        }
        let highest = simd.splat_f32s(simd.reduce_max_f32s(highest));
        let mut total = simd.splat_f32s(0.0);
        for scores in scores.chunks_exact_mut(S::F32_LANES) {
            let weights = exp(simd, simd.sub_f32s(simd.partial_load_f32s(scores), highest));
            total = simd.add_f32s(total, weights);
            simd.partial_store_f32s(scores, weights);
        }
        simd.reduce_sum_f32s(total)
    }

    /// Writes one block of columns of the outputs of `queries`. An output is the average of the values of
    /// `keys`, weighted by attention.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn average_values<S: Simd>(
        &self,
        simd: S,
        queries: Range<usize>,
        keys: Range<usize>,
        columns: ColumnBlock,
        weights: &[f32],
        totals: [f32; QUERIES_PER_BLOCK],
        output: &mut [f32],
    ) {
        let mut rows = [&weights[..0]; QUERIES_PER_BLOCK];
        for (row, weights) in rows.iter_mut().zip(weights.chunks_exact(weights.len() / QUERIES_PER_BLOCK)) {
            *row = &weights[..keys.end];
        }
        let mut sums = [zeros(simd); QUERIES_PER_BLOCK];
        for key in keys {
            let values = columns.load_row(simd, self.v, key);
            for (sum, weights) in sums.iter_mut().zip(&rows) {
                *sum = add_scaled(simd, *sum, weights[key], values);
            }
        }
        for ((query, sum), total) in queries.zip(sums).zip(totals) {
            columns.store_row(simd, output, query, scale(simd, 1.0 / total, sum));
        }
    }
}
