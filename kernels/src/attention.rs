//! Causal softmax attention, forward only: `softmax(q Kᵀ / sqrt(k)) V`, a query at a time over its own
//! keys, with no matrix of scores.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::lanes::{Columns, LANES, Lanes, add_scaled, exp, scale as scale_by, sum};

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
    /// Width of a head.
    pub width: usize,
    /// Queries, `[b, h, t, k]`.
    pub q: &'a [f32],
    /// Keys, `[b, g, s, k]`.
    pub k: &'a [f32],
    /// Values, `[b, g, s, k]`.
    pub v: &'a [f32],
    /// The first key that each row of the batch may see, `[b]`; all may if absent. A query before
    /// it sees itself alone.
    pub first: Option<&'a [usize]>,
}

/// Outputs `[b, h, t, k]`.
pub fn attention_forward(inputs: AttentionInputs<'_>) -> Vec<f32> {
    let AttentionInputs { batch, heads, groups, time, keys, width, .. } = inputs;
    let mut outputs = vec![0.0; batch * heads * time * width];
    outputs.par_chunks_mut(time * width).enumerate().for_each(|(row, output)| {
        let (batch, head) = (row / heads, row % heads);
        let group = batch * groups + head / (heads / groups);
        let head = Head {
            q: &inputs.q[row * time * width..(row + 1) * time * width],
            k: &inputs.k[group * keys * width..(group + 1) * keys * width],
            v: &inputs.v[group * keys * width..(group + 1) * keys * width],
            first: inputs.first.map_or(0, |first| first[batch]),
            past: keys - time,
            width,
        };
        attend(head, output);
    });
    outputs
}

/// One query head of one row.
struct Head<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    first: usize,
    past: usize,
    width: usize,
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn attend<'a>(head: Head<'a>, output: &'a mut [f32]) {
    let width = head.width;
    let keys = turned(head.k, width);
    let runs: Vec<(Columns, Vec<Lanes>)> =
        Columns::of(width).map(|columns| (columns, columns.load_all(head.v))).collect();
    let scale = (width as f32).powf(-0.5);
    let mut weights = vec![[0.0; LANES]; keys.len() / width];
    for (query, q) in head.q.chunks_exact(width).enumerate() {
        let last = head.past + query;
        let first = head.first.min(last);
        let seen = first / LANES..last / LANES + 1;
        for block in seen.clone() {
            let mut scores = [0.0; LANES];
            for (q, keys) in q.iter().zip(&keys[block * width..(block + 1) * width]) {
                add_scaled(&mut scores, scale * q, keys);
            }
            for (lane, score) in scores.iter_mut().enumerate() {
                let key = block * LANES + lane;
                *score = if key < first || key > last { f32::NEG_INFINITY } else { *score };
            }
            weights[block] = scores;
        }
        let total = softmax(&mut weights[seen]);
        for (columns, values) in &runs {
            let mut mixed = [0.0; LANES];
            for key in first..=last {
                add_scaled(&mut mixed, weights[key / LANES][key % LANES], &values[key]);
            }
            scale_by(&mut mixed, 1.0 / total);
            columns.store(output, query, &mixed);
        }
    }
}

/// Keys `[s, k]` in blocks of [`LANES`] keys, each block `[k]` rows with a key in each lane.
#[inline(always)]
fn turned(keys: &[f32], width: usize) -> Vec<Lanes> {
    let count = keys.len() / width;
    let mut turned = vec![[0.0; LANES]; count.div_ceil(LANES) * width];
    for (index, key) in keys.chunks_exact(width).enumerate() {
        let (block, lane) = (index / LANES, index % LANES);
        for (row, value) in turned[block * width..(block + 1) * width].iter_mut().zip(key) {
            row[lane] = *value;
        }
    }
    turned
}

/// Makes scores weights, all but for their sum, which it returns.
#[inline(always)]
fn softmax(scores: &mut [Lanes]) -> f32 {
    let mut highest = [f32::NEG_INFINITY; LANES];
    for block in scores.iter() {
        for (highest, score) in highest.iter_mut().zip(block) {
            *highest = if *score > *highest { *score } else { *highest };
        }
    }
    let highest = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut total = [0.0; LANES];
    for block in scores {
        for (total, score) in total.iter_mut().zip(block) {
            *score = exp(*score - highest);
            *total += *score;
        }
    }
    sum(total)
}
