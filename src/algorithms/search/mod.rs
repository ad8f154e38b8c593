//! Stage two: which layers are replaced, a pure function of scores; a file for each strategy.
//!
//! A search asks for the score of one mask after another and knows nothing of models, tasks or stores, so
//! that resuming is running it again over remembered scores.

mod beam;
mod config;
mod greedy;
mod importance;
mod ordered;
mod result;
#[cfg(test)]
mod tests;
mod uniform;
mod walk;

use crate::algorithms::score::Bounds;
pub use config::{SearchConfig, SearchStrategy, StopCriterion};
pub use result::{Round, Trial};

use beam::beam;
use dtr_core::error::Result;
use dtr_model::Mask;
use greedy::greedy;
use importance::local_importance;
use ordered::{in_order, random};
use uniform::uniform;

/// What a search found; validation scores only.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The base's score.
    pub base: f64,
    /// The score below which a round's best ends the search; none when it never ends early.
    pub threshold: Option<f64>,
    /// Every candidate of every round.
    pub trials: Vec<Trial>,
    /// The best candidate of every round, the one that ended the search included.
    pub rounds: Vec<Round>,
    /// `M_best`: the hybrid with the highest score seen; of equals the one with more linear layers.
    pub best: (Mask, f64),
    /// `M_opt`: the last accepted hybrid, with the most linear layers at or above the threshold.
    pub opt: (Mask, f64),
}

/// The lowest acceptable score.
pub fn threshold(stop: &StopCriterion, base: f64) -> Option<f64> {
    match *stop {
        StopCriterion::MaxRelativeDrop(drop) => Some(base * (1.0 - drop)),
        StopCriterion::MinScore(score) => Some(score),
        StopCriterion::Never {} => None,
    }
}

/// What a candidate must reach to win its round, or to be among those that a beam keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The best score of the round so far, or the least that is kept.
    pub score: f64,
    /// Whether a candidate of the same score wins, which one of a lower layer does.
    pub wins_ties: bool,
}

impl Bar {
    /// Whether a candidate with a score of `at_most` cannot win.
    pub fn is_out_of_reach(&self, at_most: f64) -> bool {
        at_most < self.score || (at_most == self.score && !self.wins_ties)
    }

    /// The same as a function.
    pub fn hopeless(self) -> Box<dyn Fn(f64) -> bool + Send + Sync> {
        Box::new(move |at_most| self.is_out_of_reach(at_most))
    }
}

/// How candidates of a round are asked for.
#[derive(Clone, Copy, Debug)]
pub struct BatchPolicy {
    /// Whether candidates that cannot win are dropped.
    pub prune: bool,
    /// How many candidates are asked for at once, at least one. They go by the same bar, so that more of them drop a little
    /// later, and may be scored side by side.
    pub together: usize,
}

impl BatchPolicy {
    /// Candidates one by one, each to its end.
    #[cfg(test)]
    const PLAIN: Self = Self { prune: false, together: 1 };

    /// `candidates` as they are asked for; the first `num_first`, which set the bar for the others, by themselves.
    fn groups<'a, T>(&self, candidates: &'a [T], num_first: usize) -> impl Iterator<Item = &'a [T]> {
        let num_first = if self.prune { num_first.min(candidates.len()) } else { 0 };
        let (first, others) = candidates.split_at(num_first);
        first.chunks(num_first.max(1)).chain(others.chunks(self.together))
    }
}

/// A mask whose score is wanted.
pub struct Question<'a> {
    /// What it grew from, or the winner of the round before, where the strategy does not grow masks.
    pub incumbent: &'a Mask,
    /// The mask.
    pub mask: &'a Mask,
    /// Where only a score that wins matters: what it must reach. Of any other, bounds do.
    pub bar: Option<Bar>,
}

/// Searches by `strategy`. `first` holds every layer: where a round tries them all, in the order in which the first round
/// does; for `impact` in the order in which they are replaced. `score` answers questions that are asked at once, in their order.
///
/// # Errors
/// The first error of a score.
pub fn search(
    strategy: &SearchStrategy,
    first: &[u32],
    stop: &StopCriterion,
    manner: BatchPolicy,
    score: impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>,
) -> Result<Found> {
    let num_layers = first.len() as u32;
    match *strategy {
        SearchStrategy::Greedy {} => greedy(first, stop, manner, score),
        SearchStrategy::Uniform {} => uniform(num_layers, stop, score),
        SearchStrategy::Random { seed } => in_order(&random(seed, num_layers), stop, score),
        SearchStrategy::LocalImportance {} => local_importance(num_layers, stop, manner, score),
        SearchStrategy::Impact {} => in_order(first, stop, score),
        SearchStrategy::Beam { width } => beam(width, first, stop, manner, score),
    }
}

/// The masks of the first layer of `order`, of the first two, and so on.
fn prefixes(order: &[u32]) -> impl Iterator<Item = Mask> {
    (1..=order.len()).map(|len| order[..len].iter().copied().collect())
}
