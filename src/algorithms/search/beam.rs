//! The step past greedy: several hybrids are kept from round to round, so that one may win later.

use std::collections::BTreeSet;

use super::walk::Walk;
use super::{Bar, BatchPolicy, Found, Question};
use crate::algorithms::score::Bounds;
use crate::algorithms::search::StopCriterion;
use dtr_core::error::Result;
use dtr_model::Mask;

/// Keeps the `width` best masks of each round and extends each of them by every remaining layer; of equals the
/// lexicographically lowest mask is better. With a width of 1 it finds what the greedy search finds.
///
/// The best of a round is its winner, and alone decides whether the search goes on: one kept beside it may lie below
/// the threshold and yet lead to the next winner. A mask that two others grow into is tried once. Where candidates are
/// dropped, one is asked for no more than whether it is among the best `width` of the groups before its own, which
/// changes nothing that is found.
pub fn beam(
    width: usize,
    first: &[u32],
    stop: &StopCriterion,
    manner: BatchPolicy,
    score: impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    let mut parents = vec![Mask::none()];
    for _ in first {
        let mut kept = Kept { width, best: Vec::new() };
        let mut seen = BTreeSet::new();
        let candidates: Vec<_> =
            children(&parents, first).filter(|(_, mask)| seen.insert(mask.clone())).collect();
        for group in manner.groups(&candidates, width) {
            let questions = group.iter().map(|(incumbent, mask)| {
                let bar = kept.bar(mask).filter(|_| manner.prune);
                Question { incumbent, mask, bar }
            });
            let questions: Vec<_> = questions.collect();
            let answers = walk.try_masks(&questions)?;
            group.iter().zip(answers).for_each(|((_, mask), bounds)| kept.add(mask.clone(), bounds));
        }
        let (mask, score) = kept.best.first().expect("the first candidate of a round is kept").clone();
        if !walk.end_round(mask, score) {
            break;
        }
        parents = kept.best.into_iter().map(|(mask, _)| mask).collect();
    }
    Ok(walk.finish())
}

/// Every mask with every layer more that it lacks, and the mask.
fn children<'a>(parents: &'a [Mask], layers: &'a [u32]) -> impl Iterator<Item = (&'a Mask, Mask)> {
    parents.iter().flat_map(move |parent| {
        let lacking = layers.iter().filter(|layer| !parent.contains(**layer));
        lacking.map(move |layer| (parent, parent.with(*layer)))
    })
}

/// The best masks of a round so far, the best first.
struct Kept {
    width: usize,
    best: Vec<(Mask, f64)>,
}

impl Kept {
    /// What `mask` must reach to be kept; none while there is room.
    fn bar(&self, mask: &Mask) -> Option<Bar> {
        let (last, score) = self.best.get(self.width - 1)?;
        Some(Bar { score: *score, wins_ties: mask < last })
    }

    /// Keeps a mask if it is good enough, which one that was dropped is not.
    fn add(&mut self, mask: Mask, bounds: Bounds) {
        let Some(score) = bounds.score() else { return };
        let is_better =
            |(other, known): &(Mask, f64)| score.total_cmp(known).then_with(|| other.cmp(&mask)).is_lt();
        let place = self.best.partition_point(is_better);
        self.best.insert(place, (mask, score));
        self.best.truncate(self.width);
    }
}
