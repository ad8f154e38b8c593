//! The state that all search strategies share: the finished rounds, the threshold, and the hybrids `M_best`
//! and `M_opt` of [`SearchOutcome`]. The winner of a round has one replaced layer more than the winner of the
//! previous round.
//!
//! A strategy decides which masks a round tries and which of these masks wins. The state decides whether the
//! winner is accepted: its score must reach the threshold.

use dtr_core::error::Result;
use dtr_model::Mask;

use super::{RoundWinner, ScoreFn, SearchOutcome, StopCriterion, Trial, score_threshold};
use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::ScoreBounds;

/// A search in progress.
pub(super) struct SearchState<'a> {
    score: &'a mut ScoreFn<'a>,
    outcome: SearchOutcome,
}

impl<'a> SearchState<'a> {
    /// Starts a search by scoring the base.
    pub fn start(stop: &StopCriterion, score: &'a mut ScoreFn<'a>) -> Result<Self> {
        let none = Mask::empty();
        let candidates = [Candidate { incumbent: &none, mask: &none, prune_below: None }];
        let base = exact_score(&score(&candidates)?[0]);
        let outcome = SearchOutcome {
            base_score: base,
            threshold: score_threshold(stop, base),
            trials: Vec::new(),
            rounds: Vec::new(),
            best: (none.clone(), base),
            opt: (none, base),
        };
        Ok(Self { score, outcome })
    }

    /// Returns the mask that was accepted last. Before the first round, this is the empty mask.
    pub fn last_accepted_mask(&self) -> Mask {
        self.outcome.opt.0.clone()
    }

    /// Scores one batch of the current round's candidates.
    pub fn score_batch(&mut self, batch: &[Candidate<'_>]) -> Result<Vec<ScoreBounds>> {
        let scores = (self.score)(batch)?;
        for (candidate, &bounds) in batch.iter().zip(&scores) {
            self.outcome.trials.push(Trial {
                round: self.outcome.rounds.len() as u32 + 1,
                layer: candidate.mask.single_layer_added_to(&self.outcome.opt.0),
                layers: candidate.mask.layers(),
                bounds,
            });
        }
        Ok(scores)
    }

    /// Ends the current round with its winner, `mask`. Returns whether the winner was accepted. If the winner
    /// was not accepted, the search ends.
    pub fn finish_round(&mut self, mask: Mask, score: f64) -> bool {
        let outcome = &mut self.outcome;
        if score >= outcome.best.1 {
            outcome.best = (mask.clone(), score);
        }
        let accepted = outcome.threshold.is_none_or(|threshold| score >= threshold);
        outcome.rounds.push(RoundWinner {
            round: outcome.rounds.len() as u32 + 1,
            layer: mask.single_layer_added_to(&outcome.opt.0),
            layers: mask.layers(),
            score,
            num_replaced: mask.num_replaced(),
            accepted,
        });
        if accepted {
            outcome.opt = (mask, score);
        }
        accepted
    }

    /// Runs one round for each mask, with this mask as the only candidate. Stops after the first rejected
    /// mask.
    pub fn run_fixed_rounds(&mut self, masks: impl IntoIterator<Item = Mask>) -> Result<()> {
        for mask in masks {
            let incumbent = self.last_accepted_mask();
            let candidates = [Candidate { incumbent: &incumbent, mask: &mask, prune_below: None }];
            let scores = self.score_batch(&candidates)?;
            if !self.finish_round(mask, exact_score(&scores[0])) {
                break;
            }
        }
        Ok(())
    }

    pub fn into_outcome(self) -> SearchOutcome {
        self.outcome
    }
}

/// Returns the score of a candidate that was scored without a pruning threshold.
pub(super) fn exact_score(bounds: &ScoreBounds) -> f64 {
    bounds.score().expect("a candidate without a threshold is never pruned")
}
