//! Local importance, as the paper compares with: layers are ranked once, each replaced alone in the base.

use super::walk::{Walk, known};
use super::{BatchPolicy, Found, Question, prefixes};
use crate::algorithms::score::Bounds;
use crate::algorithms::search::StopCriterion;
use dtr_core::error::Result;
use dtr_model::Mask;

/// Scores every layer replaced alone, then replaces layers one by one in the order of these scores, the highest first, the
/// lowest layer first of equals.
///
/// The first round is the greedy search's; each later one has a single trial.
pub fn local_importance(
    num_layers: u32,
    stop: &StopCriterion,
    manner: BatchPolicy,
    score: impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    let (none, mut ranked) = (Mask::none(), Vec::new());
    let layers: Vec<u32> = (0..num_layers).collect();
    for layers in layers.chunks(manner.together) {
        let masks: Vec<Mask> = layers.iter().map(|&layer| none.with(layer)).collect();
        let question = |mask| Question { incumbent: &none, mask, bar: None };
        let answers = walk.try_masks(&masks.iter().map(question).collect::<Vec<_>>())?;
        ranked.extend(layers.iter().copied().zip(answers.iter().map(known)));
    }
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    let order: Vec<u32> = ranked.iter().map(|(layer, _)| *layer).collect();
    if let Some(&(layer, score)) = ranked.first()
        && walk.end_round(Mask::none().with(layer), score)
    {
        walk.follow(prefixes(&order).skip(1))?;
    }
    Ok(walk.finish())
}
