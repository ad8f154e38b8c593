//! Greedy layer replacement (arXiv 2601.11667, Algorithm 1).

use std::cmp::Ordering;

use dtr_core::error::Result;
use dtr_model::Mask;

use super::state::SearchState;
use super::{BatchPolicy, ScoreFn, SearchOutcome, StopCriterion};
use crate::algorithms::candidate::{Candidate, PruneBelow};
use crate::algorithms::score::ScoreBounds;

/// A layer that a round tried, and the score bounds of its candidate. The candidate replaces this layer and
/// the incumbent's layers.
type ScoredLayer = (u32, ScoreBounds);

/// Replaces layers one by one. Each round scores the replacement of every remaining full-attention layer, and
/// keeps the replacement with the highest score. If scores are equal, the lowest layer wins.
///
/// The first round tries layers in `layer_order`. Each later round tries the remaining layers in descending
/// order of their scores in the previous round. This order, the batch size and pruning change only the
/// outcome's list of trials. The trial of a pruned candidate holds only the bounds of its score.
pub fn greedy_search(
    layer_order: &[u32],
    stop: &StopCriterion,
    policy: BatchPolicy,
    score: &mut ScoreFn<'_>,
) -> Result<SearchOutcome> {
    let mut state = SearchState::start(stop, score)?;
    let mut order = layer_order.to_vec();
    while !order.is_empty() {
        let mut scored = score_round(&mut state, &order, policy)?;
        let (layer, score) =
            find_winner(&scored).expect("a round has at least one full-attention layer left");
        let mask = state.last_accepted_mask().with_layer(layer);
        if !state.finish_round(mask, score) {
            break;
        }
        scored.sort_by(|one, other| sum_of_bounds(other).total_cmp(&sum_of_bounds(one)));
        order = scored.iter().map(|(scored, _)| *scored).filter(|&other| other != layer).collect();
    }
    Ok(state.into_outcome())
}

/// Returns the sum of a score's bounds. The next round tries layers in descending order of this sum.
fn sum_of_bounds((_, bounds): &ScoredLayer) -> f64 {
    bounds.lower + bounds.upper
}

fn score_round(state: &mut SearchState<'_>, order: &[u32], policy: BatchPolicy) -> Result<Vec<ScoredLayer>> {
    let incumbent = state.last_accepted_mask();
    let masks: Vec<Mask> = order.iter().map(|&layer| incumbent.with_layer(layer)).collect();
    let (mut scored, mut rest) = (Vec::new(), masks.as_slice());
    for layers in policy.batches(order, 1) {
        let best = find_winner(&scored).filter(|_| policy.prune);
        let masks;
        (masks, rest) = rest.split_at(layers.len());
        let candidate = |(&layer, mask)| {
            let prune_below = best.map(|(best, score)| PruneBelow { score, prunes_ties: layer >= best });
            Candidate { incumbent: &incumbent, mask, prune_below }
        };
        let candidates: Vec<_> = layers.iter().zip(masks).map(candidate).collect();
        let scores = state.score_batch(&candidates)?;
        scored.extend(layers.iter().copied().zip(scores));
    }
    Ok(scored)
}

/// Returns the layer with the highest exact score, and the score. The lowest layer wins a tie.
fn find_winner(scored: &[ScoredLayer]) -> Option<(u32, f64)> {
    let exact = scored.iter().filter_map(|(layer, bounds)| Some((*layer, bounds.score()?)));
    exact.reduce(|best, one| match one.1.total_cmp(&best.1) {
        Ordering::Greater => one,
        Ordering::Equal if one.0 < best.0 => one,
        _ => best,
    })
}
