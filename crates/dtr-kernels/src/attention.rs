//! Causal softmax attention, forward only: `softmax(q Kᵀ / sqrt(k)) V`, a few queries at a time over their
//! own keys, with no matrix of scores.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::lanes::{Columns, Lanes, add_scaled, count, exp, load, scaled, store, zeros};

/// What attention reads.
#[derive(Clone, Copy)]
pub struct AttentionInputs<'a> {
    /// Rows of the batch.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; each serves `heads / groups` neighbouring query heads.
    pub groups: usize,
    /// Queries of a row.
    pub time: usize,
    /// Keys of a row; the last of them stands where the last query does.
    pub keys: usize,
    /// Keys that a row has room for; what lies behind the last of them is not read.
    pub room: usize,
    /// Width of a head.
    pub width: usize,
    /// Queries, `[b, h, t, k]`.
    pub q: &'a [f32],
    /// Keys, `[b, g, room, k]`.
    pub k: &'a [f32],
    /// Values, `[b, g, room, k]`.
    pub v: &'a [f32],
    /// The first key that each row of the batch may see, `[b]`; all may if absent. A query before
    /// it sees itself alone.
    pub first: Option<&'a [usize]>,
}

/// Outputs `[b, h, t, k]`.
pub fn attention_forward(inputs: AttentionInputs<'_>) -> Vec<f32> {
    let AttentionInputs { batch, heads, groups, time, keys, room, width, .. } = inputs;
    let mut outputs = vec![0.0; batch * heads * time * width];
    outputs.par_chunks_mut(time * width).enumerate().for_each(|(row, output)| {
        let (batch, head) = (row / heads, row % heads);
        let group = batch * groups + head / (heads / groups);
        let head = Head {
            q: &inputs.q[row * time * width..(row + 1) * time * width],
            k: &inputs.k[group * room * width..][..keys * width],
            v: &inputs.v[group * room * width..][..keys * width],
            first: inputs.first.map_or(0, |first| first[batch]),
            past: keys - time,
            width,
        };
        Arch::new().dispatch(Attend { head, output });
    });
    outputs
}

/// One query head of one row.
#[derive(Clone, Copy)]
struct Head<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    first: usize,
    past: usize,
    width: usize,
}

/// Queries that go through the keys together.
const TOGETHER: usize = 4;

struct Attend<'a> {
    head: Head<'a>,
    output: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, output } = self;
        let width = head.width;
        let keys = turned(simd, head.k, width);
        let stride = keys.len() / width * count::<S>();
        let mut weights = vec![0.0; TOGETHER * stride];
        let num_queries = head.q.len() / width;
        for query in (0..num_queries).step_by(TOGETHER) {
            let queries = query..num_queries.min(query + TOGETHER);
            let seen = head.score(simd, queries.clone(), &keys, &mut weights);
            let mut totals = [1.0; TOGETHER];
            let rows = weights.chunks_exact_mut(stride).zip(&mut totals);
            for (query, (weights, total)) in queries.clone().zip(rows) {
                *total = head.soften(simd, query, seen.clone(), weights);
            }
            for first in (0..width).step_by(count::<S>()) {
                let columns = Columns::from::<S>(first, width);
                head.mix(simd, queries.clone(), seen.clone(), columns, &weights, totals, output);
            }
        }
    }
}

/// Keys `[s, k]` in blocks of as many as go side by side, each block `[k]` rows with a key in each lane.
#[inline(always)]
fn turned<S: Simd>(simd: S, keys: &[f32], width: usize) -> Vec<Lanes<S>> {
    let mut turned = Vec::with_capacity((keys.len() / width).div_ceil(count::<S>()) * width);
    let mut lanes = vec![0.0; count::<S>()];
    for block in keys.chunks(count::<S>() * width) {
        for row in 0..width {
            lanes.fill(0.0);
            for (lane, key) in lanes.iter_mut().zip(block.chunks_exact(width)) {
                *lane = key[row];
            }
            turned.push(load(simd, &lanes));
        }
    }
    turned
}

impl Head<'_> {
    /// The keys that `query` sees.
    #[inline(always)]
    fn seen(&self, query: usize) -> std::ops::Range<usize> {
        let last = self.past + query;
        self.first.min(last)..last + 1
    }

    /// Writes the scores of neighbouring `queries` and returns the keys that any of them sees, from the
    /// beginning of a block on.
    #[inline(always)]
    fn score<S: Simd>(
        &self,
        simd: S,
        queries: std::ops::Range<usize>,
        keys: &[Lanes<S>],
        scores: &mut [f32],
    ) -> std::ops::Range<usize> {
        let (width, stride, side) = (self.width, scores.len() / TOGETHER, count::<S>());
        let scale = (width as f32).powf(-0.5);
        let (first, end) = (self.seen(queries.start).start, self.seen(queries.end - 1).end);
        let mut q = [&self.q[..0]; TOGETHER];
        for (index, q) in q.iter_mut().enumerate() {
            // Too few queries are made up to four by the last one.
            let query = (queries.start + index).min(queries.end - 1);
            *q = &self.q[query * width..(query + 1) * width];
        }
        for block in first / side..end.div_ceil(side) {
            let mut sums = [zeros(simd); TOGETHER];
            for (row, keys) in keys[block * width..(block + 1) * width].iter().enumerate() {
                for (sum, q) in sums.iter_mut().zip(&q) {
                    *sum = add_scaled(simd, *sum, scale * q[row], *keys);
                }
            }
            for (index, sum) in sums.into_iter().enumerate() {
                let start = index * stride + block * side;
                store(simd, &mut scores[start..start + side], sum);
            }
        }
        first / side * side..end
    }

    /// Makes the scores of `query` weights, all but for their sum, which it returns.
    #[inline(always)]
    fn soften<S: Simd>(
        &self,
        simd: S,
        query: usize,
        keys: std::ops::Range<usize>,
        scores: &mut [f32],
    ) -> f32 {
        let seen = self.seen(query);
        scores[keys.start..seen.start].fill(f32::NEG_INFINITY);
        let end = keys.end.next_multiple_of(S::F32_LANES);
        scores[seen.end..end].fill(f32::NEG_INFINITY);
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

    /// Mixes some columns of the values of `keys` by the weights of `queries`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn mix<S: Simd>(
        &self,
        simd: S,
        queries: std::ops::Range<usize>,
        keys: std::ops::Range<usize>,
        columns: Columns,
        weights: &[f32],
        totals: [f32; TOGETHER],
        output: &mut [f32],
    ) {
        let mut rows = [&weights[..0]; TOGETHER];
        for (row, weights) in rows.iter_mut().zip(weights.chunks_exact(weights.len() / TOGETHER)) {
            *row = &weights[..keys.end];
        }
        let mut sums = [zeros(simd); TOGETHER];
        for key in keys {
            let values = columns.load(simd, self.v, key);
            for (sum, weights) in sums.iter_mut().zip(&rows) {
                *sum = add_scaled(simd, *sum, weights[key], values);
            }
        }
        for ((query, sum), total) in queries.zip(sums).zip(totals) {
            columns.store(simd, output, query, scaled(simd, 1.0 / total, sum));
        }
    }
}
