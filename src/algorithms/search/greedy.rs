//! Greedy layer replacement (arXiv 2601.11667, Algorithm 1).

use std::cmp::Ordering;

use super::walk::Walk;
use super::{Bar, BatchPolicy, Found, Question};
use crate::algorithms::score::Bounds;
use crate::algorithms::search::StopCriterion;
use dtr_core::error::Result;
use dtr_model::Mask;

/// A layer that a round tried, and what is known of the score with it.
type Tried = (u32, Bounds);

/// Replaces layers one by one: each round scores every remaining full layer replaced and keeps the maximum, the lowest
/// layer of equals.
///
/// Candidates of the first round are tried in the order of `first`, those of the others by what they reached the
/// round before. Where candidates are dropped, one is asked for no more than whether it wins: what is found is the
/// same in any order, in groups of any size, with or without, except for bounds instead of scores in the
/// trials of candidates that do not.
pub fn greedy(
    first: &[u32],
    stop: &StopCriterion,
    manner: BatchPolicy,
    score: impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    let mut order = first.to_vec();
    while !order.is_empty() {
        let mut tried = try_round(&mut walk, &order, manner)?;
        let (layer, score) = winner(&tried).expect("a round has at least one full layer left");
        let mask = walk.incumbent().with(layer);
        if !walk.end_round(mask, score) {
            break;
        }
        tried.sort_by(|one, other| promise(other).total_cmp(&promise(one)));
        order = tried.iter().map(|(tried, _)| *tried).filter(|&other| other != layer).collect();
    }
    Ok(walk.finish())
}

/// What a trial lets expect of its layer in the next round.
fn promise((_, bounds): &Tried) -> f64 {
    bounds.at_least + bounds.at_most
}

fn try_round<F: FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>>(
    walk: &mut Walk<F>,
    order: &[u32],
    manner: BatchPolicy,
) -> Result<Vec<Tried>> {
    let incumbent = walk.incumbent();
    let mut tried = Vec::new();
    for layers in manner.groups(order, 1) {
        let best = winner(&tried).filter(|_| manner.prune);
        let masks: Vec<Mask> = layers.iter().map(|&layer| incumbent.with(layer)).collect();
        let question = |(&layer, mask)| {
            let bar = best.map(|(best, score)| Bar { score, wins_ties: layer < best });
            Question { incumbent: &incumbent, mask, bar }
        };
        let questions: Vec<_> = layers.iter().zip(&masks).map(question).collect();
        let answers = walk.try_masks(&questions)?;
        tried.extend(layers.iter().copied().zip(answers));
    }
    Ok(tried)
}

/// The layer with the highest known score, of equals the lowest, and the score.
fn winner(tried: &[Tried]) -> Option<(u32, f64)> {
    let known = tried.iter().filter_map(|(layer, bounds)| Some((*layer, bounds.score()?)));
    known.reduce(|best, one| match one.1.total_cmp(&best.1) {
        Ordering::Greater => one,
        Ordering::Equal if one.0 < best.0 => one,
        _ => best,
    })
}
