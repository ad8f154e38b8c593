//! Searches over random score tables, a score for each set of layers.

mod beam;
mod fixed;
mod greedy;

use proptest::prelude::*;

use super::{Bar, BatchPolicy, Question};
use crate::algorithms::score::Bounds;
use dtr_core::error::Result;
use dtr_model::Mask;

/// A table of coarse scores, so that ties are common.
pub fn table(num_layers: u32) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(0..12u32, 1 << num_layers)
        .prop_map(|scores| scores.into_iter().map(|score| f64::from(score) / 12.0).collect())
}

/// A score that is known.
pub fn known(score: f64) -> Result<Bounds> {
    Ok(Bounds::exactly(score))
}

/// Answers questions one by one.
pub fn each(
    mut score: impl FnMut(&Question<'_>) -> Result<Bounds>,
) -> impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>> {
    move |questions| questions.iter().map(&mut score).collect()
}

/// Answers questions with the scores of a table.
pub fn of_table(scores: &[f64]) -> impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>> {
    each(|question| known(scores[index(question.mask)]))
}

/// Any way of asking.
pub fn manner(prune: bool) -> impl Strategy<Value = BatchPolicy> {
    (1..6usize).prop_map(move |together| BatchPolicy { prune, together })
}

/// Where a mask stands in a table.
pub fn index(mask: &Mask) -> usize {
    mask.layers().iter().map(|layer| 1 << layer).sum()
}

/// Which of `ITEMS` items each mask answers rightly, as bits.
pub fn answers(num_layers: u32) -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(any::<u16>(), 1 << num_layers)
}

const ITEMS: u32 = 16;

/// Asks item by item until the answer is known or the bar out of reach, and counts what it asked.
pub fn ask(answers: u16, bar: Option<Bar>, num_asked: &mut u32) -> Bounds {
    let mut correct = 0;
    for item in 0..ITEMS {
        let fraction = |count: u32| f64::from(count) / f64::from(ITEMS);
        let bounds = Bounds { at_least: fraction(correct), at_most: fraction(correct + ITEMS - item) };
        if bar.is_some_and(|bar| bar.is_out_of_reach(bounds.at_most)) {
            return bounds;
        }
        *num_asked += 1;
        correct += u32::from(answers >> item & 1);
    }
    Bounds::exactly(f64::from(correct) / f64::from(ITEMS))
}
