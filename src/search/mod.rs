//! Stage two: greedy layer replacement (arXiv 2601.11667, Algorithm 1), a pure function of scores.
//!
//! It asks for the score of one mask after another and knows nothing of models, tasks or stores, so
//! that resuming is running it again over remembered scores.

#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::manifest::Stop;
use crate::model::Mask;
use crate::store::{Round, Trial};

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
pub fn threshold(stop: &Stop, base: f64) -> Option<f64> {
    match *stop {
        Stop::MaxRelativeDrop(drop) => Some(base * (1.0 - drop)),
        Stop::MinScore(score) => Some(score),
        Stop::Never {} => None,
    }
}

/// Replaces layers one by one: each round scores every remaining full layer replaced, in ascending
/// order, and keeps the strict maximum, so that the lowest layer wins ties.
///
/// `score` is asked for a mask and told the incumbent that it grew from.
pub fn greedy(
    num_layers: u32,
    stop: &Stop,
    mut score: impl FnMut(&Mask, &Mask) -> Result<f64>,
) -> Result<Found> {
    let base = score(&Mask::none(), &Mask::none())?;
    let threshold = threshold(stop, base);
    let start = (Mask::none(), base);
    let mut found =
        Found { base, threshold, trials: Vec::new(), rounds: Vec::new(), best: start.clone(), opt: start };
    for round in 1..=num_layers {
        let (layer, mask, score) = best_candidate(round, num_layers, &mut found, &mut score)?;
        if score >= found.best.1 {
            found.best = (mask.clone(), score);
        }
        let accepted = threshold.is_none_or(|least| score >= least);
        found.rounds.push(Round { round, layer, score, num_replaced: round, accepted });
        if !accepted {
            break;
        }
        found.opt = (mask, score);
    }
    Ok(found)
}

fn best_candidate(
    round: u32,
    num_layers: u32,
    found: &mut Found,
    score: &mut impl FnMut(&Mask, &Mask) -> Result<f64>,
) -> Result<(u32, Mask, f64)> {
    let mut best: Option<(u32, Mask, f64)> = None;
    for layer in (0..num_layers).filter(|&layer| !found.opt.0.contains(layer)) {
        let mask = found.opt.0.with(layer);
        let score = score(&found.opt.0, &mask)?;
        found.trials.push(Trial { round, layer, score });
        if best.as_ref().is_none_or(|(_, _, highest)| score > *highest) {
            best = Some((layer, mask, score));
        }
    }
    Ok(best.expect("a round has at least one full layer left"))
}
