//! Tests of the search strategies on random tables of scores, with one score for each mask.

mod beam;
mod fixed;
mod greedy;

use proptest::prelude::*;

use super::{BatchPolicy, StopCriterion};
use crate::algorithms::candidate::{Candidate, PruneBelow};
use crate::algorithms::score::ScoreBounds;
use dtr_core::error::Result;
use dtr_model::Mask;

/// A criterion that never stops, so that a search replaces every layer.
pub const NEVER: StopCriterion = StopCriterion::Never {};

/// A policy that scores one candidate at a time, without pruning.
pub const UNPRUNED: BatchPolicy = BatchPolicy { prune: false, candidates_per_batch: 1 };

/// Generates tables with one score for each mask. The scores are coarse, so ties are common.
pub fn score_tables(num_layers: u32) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(0..12u32, 1 << num_layers)
        .prop_map(|scores| scores.into_iter().map(|score| f64::from(score) / 12.0).collect())
}

/// Returns the exact score `score` in the form in which a score function returns it.
pub fn exact_result(score: f64) -> Result<ScoreBounds> {
    Ok(ScoreBounds::exact(score))
}

/// Returns a function that scores a batch of candidates. The function calls `score` for one candidate after
/// the other.
pub fn one_by_one(
    mut score: impl FnMut(&Candidate<'_>) -> Result<ScoreBounds>,
) -> impl FnMut(&[Candidate<'_>]) -> Result<Vec<ScoreBounds>> {
    move |batch| batch.iter().map(&mut score).collect()
}

/// Returns a score function that looks up the score of a mask in a table.
pub fn by_table(scores: &[f64]) -> impl FnMut(&[Candidate<'_>]) -> Result<Vec<ScoreBounds>> {
    one_by_one(|candidate| exact_result(scores[table_index(candidate.mask)]))
}

/// Generates policies with random batch sizes.
pub fn batch_policies(prune: bool) -> impl Strategy<Value = BatchPolicy> {
    (1..6usize).prop_map(move |candidates_per_batch| BatchPolicy { prune, candidates_per_batch })
}

/// Returns the index of a mask in a table.
pub fn table_index(mask: &Mask) -> usize {
    mask.layers().iter().map(|layer| 1 << layer).sum()
}

/// Generates tables with one entry for each mask. Bit `i` of an entry tells whether the hybrid with this mask
/// answers item `i` correctly.
pub fn answer_tables(num_layers: u32) -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(any::<u16>(), 1 << num_layers)
}

const NUM_ITEMS: u32 = 16;

/// Scores one item after the other, until the score is exact or the candidate is pruned. Adds the number of
/// scored items to `num_scored`. `answers` has one bit for each item.
pub fn score_items(answers: u16, prune_below: Option<PruneBelow>, num_scored: &mut u32) -> ScoreBounds {
    let mut num_correct = 0;
    for item in 0..NUM_ITEMS {
        let fraction = |count: u32| f64::from(count) / f64::from(NUM_ITEMS);
        let bounds =
            ScoreBounds { lower: fraction(num_correct), upper: fraction(num_correct + NUM_ITEMS - item) };
        if prune_below.is_some_and(|prune_below| prune_below.prunes(bounds.upper)) {
            return bounds;
        }
        *num_scored += 1;
        num_correct += u32::from(answers >> item & 1);
    }
    ScoreBounds::exact(f64::from(num_correct) / f64::from(NUM_ITEMS))
}
