//! Stage two: greedy layer replacement (arXiv 2601.11667, Algorithm 1), a pure function of scores.
//!
//! It asks for the score of one mask after another and knows nothing of models, tasks or stores, so
//! that resuming is running it again over remembered scores.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::error::Result;
use crate::manifest::Stop;
use crate::model::Mask;
use crate::store::{Bounds, Round, Trial};

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

/// What a candidate must reach to win its round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The best score of the round so far.
    pub score: f64,
    /// Whether a candidate of the same score wins, which one of a lower layer does.
    pub wins_ties: bool,
}

impl Bar {
    /// Whether a candidate with a score of `at_most` cannot win.
    pub fn is_out_of_reach(&self, at_most: f64) -> bool {
        at_most < self.score || (at_most == self.score && !self.wins_ties)
    }
}

/// A mask whose score is wanted.
pub struct Question<'a> {
    /// What it grew from.
    pub incumbent: &'a Mask,
    /// The mask.
    pub mask: &'a Mask,
    /// Where only a score that wins matters: what it must reach. Of any other, bounds do.
    pub bar: Option<Bar>,
}

/// Replaces layers one by one: each round scores every remaining full layer replaced and keeps the maximum, the lowest
/// layer of equals.
///
/// Candidates of the first round are tried in the order of `first`, those of the others by what they reached the
/// round before. With `prune` a candidate is asked for no more than whether it wins: what is found is the same
/// in any order, with or without, except for bounds instead of scores in the trials of candidates that do not.
pub fn greedy(
    first: &[u32],
    stop: &Stop,
    prune: bool,
    mut score: impl FnMut(&Question<'_>) -> Result<Bounds>,
) -> Result<Found> {
    let none = Mask::none();
    let base = score(&Question { incumbent: &none, mask: &none, bar: None })?;
    let base = base.score().expect("without a bar a score is known");
    let threshold = threshold(stop, base);
    let start = (Mask::none(), base);
    let mut found =
        Found { base, threshold, trials: Vec::new(), rounds: Vec::new(), best: start.clone(), opt: start };
    let mut order = first.to_vec();
    for round in 1..=first.len() as u32 {
        let mut trials = try_round(round, &order, &found.opt.0, prune, &mut score)?;
        let (layer, score) = winner(&trials).expect("a round has at least one full layer left");
        let mask = found.opt.0.with(layer);
        if score >= found.best.1 {
            found.best = (mask.clone(), score);
        }
        let accepted = threshold.is_none_or(|least| score >= least);
        found.rounds.push(Round { round, layer, score, num_replaced: round, accepted });
        found.trials.extend(&trials);
        if !accepted {
            break;
        }
        found.opt = (mask, score);
        trials.sort_by(|one, other| promise(other).total_cmp(&promise(one)));
        order = trials.iter().map(|trial| trial.layer).filter(|&other| other != layer).collect();
    }
    Ok(found)
}

/// What a trial lets expect of its layer in the next round.
fn promise(trial: &Trial) -> f64 {
    trial.bounds.at_least + trial.bounds.at_most
}

fn try_round(
    round: u32,
    order: &[u32],
    incumbent: &Mask,
    prune: bool,
    score: &mut impl FnMut(&Question<'_>) -> Result<Bounds>,
) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for &layer in order {
        let best = winner(&trials).filter(|_| prune);
        let bar = best.map(|(best, score)| Bar { score, wins_ties: layer < best });
        let mask = incumbent.with(layer);
        let bounds = score(&Question { incumbent, mask: &mask, bar })?;
        trials.push(Trial { round, layer, bounds });
    }
    Ok(trials)
}

/// The layer with the highest known score, of equals the lowest, and the score.
fn winner(trials: &[Trial]) -> Option<(u32, f64)> {
    let known = trials.iter().filter_map(|trial| Some((trial.layer, trial.bounds.score()?)));
    known.reduce(|best, one| match one.1.total_cmp(&best.1) {
        Ordering::Greater => one,
        Ordering::Equal if one.0 < best.0 => one,
        _ => best,
    })
}
