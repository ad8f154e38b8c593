//! The search strategy `local-importance`, one of the paper's baselines. The strategy ranks all layers once,
//! by the scores of hybrids that each replace a single layer.

use dtr_core::error::Result;
use dtr_model::Mask;

use super::state::{SearchState, exact_score};
use super::{BatchPolicy, ScoreFn, SearchOutcome, StopCriterion, nested_masks};
use crate::algorithms::candidate::Candidate;

/// For each layer, scores the hybrid that replaces only this layer. Then replaces layers one by one, in
/// descending order of these scores. If scores are equal, the lowest layer comes first.
///
/// The first round has the same candidates as the first round of a greedy search. Each later round has a
/// single candidate.
pub fn local_importance_search(
    num_layers: u32,
    stop: &StopCriterion,
    policy: BatchPolicy,
    score: &mut ScoreFn<'_>,
) -> Result<SearchOutcome> {
    let mut state = SearchState::start(stop, score)?;
    let (none, mut ranking) = (Mask::empty(), Vec::new());
    let masks: Vec<Mask> = (0..num_layers).map(|layer| none.with_layer(layer)).collect();
    for masks in masks.chunks(policy.candidates_per_batch) {
        let candidate = |mask| Candidate { incumbent: &none, mask, prune_below: None };
        let candidates: Vec<_> = masks.iter().map(candidate).collect();
        let scores = state.score_batch(&candidates)?;
        ranking.extend((ranking.len() as u32..).zip(scores.iter().map(exact_score)));
    }
    ranking.sort_by(|one, other| other.1.total_cmp(&one.1));
    let order: Vec<u32> = ranking.iter().map(|(layer, _)| *layer).collect();
    if let Some(&(layer, score)) = ranking.first()
        && state.finish_round(none.with_layer(layer), score)
    {
        state.run_fixed_rounds(nested_masks(&order).skip(1))?;
    }
    Ok(state.into_outcome())
}
