//! Layers spread evenly, which the paper calls uniform interleaving: a strategy that asks no task.

use super::walk::Walk;
use super::{Found, Question};
use crate::algorithms::score::Bounds;
use crate::algorithms::search::StopCriterion;
use dtr_core::error::Result;
use dtr_model::Mask;

/// Replaces more and more layers, spread evenly over the base, whatever they score.
pub fn uniform(
    num_layers: u32,
    stop: &StopCriterion,
    score: impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    walk.follow((1..=num_layers).map(|num_replaced| Mask::spread(num_layers, num_replaced)))?;
    Ok(walk.finish())
}
