//! Beam search. Each round keeps several hybrids, because an extension of a losing hybrid may win a later
//! round.

use std::collections::BTreeSet;

use dtr_core::error::Result;
use dtr_model::Mask;

use super::state::SearchState;
use super::{BatchPolicy, ScoreFn, SearchOutcome, StopCriterion};
use crate::algorithms::candidate::{Candidate, PruneBelow};
use crate::algorithms::score::ScoreBounds;

/// Keeps the `width` best masks of each round, and extends each of these masks by every remaining layer.
/// Among masks with equal scores, the lexicographically lowest mask is the best. A beam of width 1 finds the
/// same hybrids as the greedy search.
///
/// The best mask of a round is its winner. Only the winner is compared with the threshold of `stop`. Other
/// masks of the beam may score below the threshold, because the next winner may still extend such a mask. A
/// mask that extends two masks of the beam is tried only once.
///
/// If `policy` prunes, a candidate is pruned as soon as it cannot enter the beam. For this decision, the beam
/// holds the best masks of the round's earlier batches. Pruning does not change the hybrids that the search
/// finds.
pub fn beam_search(
    width: usize,
    layer_order: &[u32],
    stop: &StopCriterion,
    policy: BatchPolicy,
    score: &mut ScoreFn<'_>,
) -> Result<SearchOutcome> {
    let mut state = SearchState::start(stop, score)?;
    let mut parents = vec![Mask::empty()];
    for _ in layer_order {
        let mut beam = Beam { width, best: Vec::new() };
        let mut seen = BTreeSet::new();
        let children: Vec<_> =
            extend_masks(&parents, layer_order).filter(|(_, mask)| seen.insert(mask.clone())).collect();
        for batch in policy.batches(&children, width) {
            let candidates: Vec<_> = batch
                .iter()
                .map(|(incumbent, mask)| {
                    let prune_below = beam.prune_below(mask).filter(|_| policy.prune);
                    Candidate { incumbent, mask, prune_below }
                })
                .collect();
            let scores = state.score_batch(&candidates)?;
            batch.iter().zip(scores).for_each(|((_, mask), bounds)| beam.insert(mask.clone(), bounds));
        }
        let (mask, score) =
            beam.best.first().expect("the first candidate of a round enters the beam").clone();
        if !state.finish_round(mask, score) {
            break;
        }
        parents = beam.best.into_iter().map(|(mask, _)| mask).collect();
    }
    Ok(state.into_outcome())
}

/// Returns each mask that extends one of `parents` by one layer, together with this parent.
fn extend_masks<'a>(parents: &'a [Mask], layers: &'a [u32]) -> impl Iterator<Item = (&'a Mask, Mask)> {
    parents.iter().flat_map(move |parent| {
        let missing = layers.iter().filter(|layer| !parent.contains(**layer));
        missing.map(move |layer| (parent, parent.with_layer(*layer)))
    })
}

/// The best masks of the current round and their scores, in descending order of score.
struct Beam {
    width: usize,
    best: Vec<(Mask, f64)>,
}

impl Beam {
    /// Returns the score below which `mask` cannot enter the beam, or `None` while the beam is not full.
    fn prune_below(&self, mask: &Mask) -> Option<PruneBelow> {
        let (last, score) = self.best.get(self.width - 1)?;
        Some(PruneBelow { score: *score, prunes_ties: mask >= last })
    }

    /// Inserts a mask if it is among the best `width` masks of the round so far. A pruned mask is never
    /// inserted.
    fn insert(&mut self, mask: Mask, bounds: ScoreBounds) {
        let Some(score) = bounds.score() else { return };
        let is_better =
            |(other, known): &(Mask, f64)| score.total_cmp(known).then_with(|| other.cmp(&mask)).is_lt();
        let index = self.best.partition_point(is_better);
        self.best.insert(index, (mask, score));
        self.best.truncate(self.width);
    }
}
