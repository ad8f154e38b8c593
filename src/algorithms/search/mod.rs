//! Stage two of Distill-then-Replace: the search for the layers to replace. A search sees only scores on the
//! validation split. Each strategy has its own file.
//!
//! A search runs in rounds. Each round scores some candidates and has one winner. The search ends when the
//! score of a winner is below a threshold, or when all layers are replaced.
//!
//! A search gets the scores of candidates from a [`ScoreFn`], and does not depend on models, tasks or the
//! store. To resume an interrupted search, run it again with a function that returns the stored scores.

mod beam;
mod config;
mod earlier_stops;
mod fixed_order;
mod greedy;
mod local_importance;
mod result;
mod state;
#[cfg(test)]
mod tests;
mod uniform;

pub use config::{SearchConfig, SearchStrategy, StopCriterion};
pub use earlier_stops::{EarlierStop, EarlierStops};
pub use result::{RoundWinner, Trial};

use dtr_core::error::Result;
use dtr_model::Mask;

use super::candidate::Candidate;
use super::score::ScoreBounds;
use beam::beam_search;
use fixed_order::{random_order, replace_in_order};
use greedy::greedy_search;
use local_importance::local_importance_search;
use uniform::uniform_search;

/// A function that scores the candidates of one batch. Returns the bounds of each score, in the candidates'
/// order.
pub type ScoreFn<'a> = dyn FnMut(&[Candidate<'_>]) -> Result<Vec<ScoreBounds>> + 'a;

/// The outcome of a search on the validation split.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome {
    /// The base's score.
    pub base_score: f64,
    /// The search ends with the first round whose best score is below this threshold. `None` if the search
    /// has no threshold.
    pub threshold: Option<f64>,
    /// Every candidate of every round.
    pub trials: Vec<Trial>,
    /// The best candidate of every round, including the rejected candidate that ended the search.
    pub rounds: Vec<RoundWinner>,
    /// `M_best`: the hybrid with the highest score, and its score. If several hybrids have this score,
    /// `M_best` is the hybrid of the latest round, which replaces the most layers.
    pub best: (Mask, f64),
    /// `M_opt`: the last accepted hybrid and its score.
    pub opt: (Mask, f64),
}

/// Returns the lowest score that `stop` accepts, or `None` if `stop` accepts every score. `base` is the
/// base's score.
pub fn score_threshold(stop: &StopCriterion, base: f64) -> Option<f64> {
    match *stop {
        StopCriterion::MaxRelativeDrop(drop) => Some(base * (1.0 - drop)),
        StopCriterion::MinScore(score) => Some(score),
        StopCriterion::Never {} => None,
    }
}

/// The batching and pruning of a round's candidates.
#[derive(Clone, Copy, Debug)]
pub struct BatchPolicy {
    /// Whether a candidate is pruned as soon as the candidate can neither win nor enter the beam.
    pub prune: bool,
    /// The number of candidates in a batch, at least one. In a larger batch, more candidates are scored in
    /// parallel. But candidates are pruned later, because the threshold does not change within a batch.
    pub candidates_per_batch: usize,
}

impl BatchPolicy {
    /// Splits `candidates` into batches. With pruning, the first `num_first` candidates form the first batch.
    /// The scores of this batch set the threshold for the second batch.
    fn batches<'a, T>(&self, candidates: &'a [T], num_first: usize) -> impl Iterator<Item = &'a [T]> {
        let num_first = if self.prune { num_first.min(candidates.len()) } else { 0 };
        let (first, rest) = candidates.split_at(num_first);
        first.chunks(num_first.max(1)).chain(rest.chunks(self.candidates_per_batch))
    }
}

/// Searches for the layers to replace, with `strategy`.
///
/// `layer_order` holds every layer. Greedy and beam search try the candidates of the first round in this
/// order. The strategy `impact` replaces layers in this order. All other strategies use only the number of
/// layers.
///
/// # Errors
/// Fails with the first error of `score`.
pub fn search(
    strategy: &SearchStrategy,
    layer_order: &[u32],
    stop: &StopCriterion,
    policy: BatchPolicy,
    score: &mut ScoreFn<'_>,
) -> Result<SearchOutcome> {
    let num_layers = layer_order.len() as u32;
    match *strategy {
        SearchStrategy::Greedy {} => greedy_search(layer_order, stop, policy, score),
        SearchStrategy::Uniform {} => uniform_search(num_layers, stop, score),
        SearchStrategy::Random { seed } => replace_in_order(&random_order(seed, num_layers), stop, score),
        SearchStrategy::LocalImportance {} => local_importance_search(num_layers, stop, policy, score),
        SearchStrategy::Impact {} => replace_in_order(layer_order, stop, score),
        SearchStrategy::Beam { width } => beam_search(width, layer_order, stop, policy, score),
    }
}

/// Returns the masks of the first layer of `order`, of its first two layers, and so on.
fn nested_masks(order: &[u32]) -> impl Iterator<Item = Mask> {
    (1..=order.len()).map(|len| order[..len].iter().copied().collect())
}
