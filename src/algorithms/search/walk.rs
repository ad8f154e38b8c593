//! What all strategies share: rounds of trials, one layer more in each, the threshold, `M_best` and `M_opt`.
//!
//! A strategy says which masks a round tries and which of them wins it; it never sees the threshold.

use super::{Found, Question, threshold};
use crate::algorithms::score::Bounds;
use crate::algorithms::search::StopCriterion;
use crate::algorithms::search::{Round, Trial};
use dtr_core::error::Result;
use dtr_model::Mask;

/// A search under way.
pub(super) struct Walk<F> {
    score: F,
    found: Found,
}

impl<F: FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>> Walk<F> {
    /// Scores the base.
    pub fn start(stop: &StopCriterion, mut score: F) -> Result<Self> {
        let none = Mask::none();
        let base = known(&score(&[Question { incumbent: &none, mask: &none, bar: None }])?[0]);
        let (threshold, start) = (threshold(stop, base), (none, base));
        let found = Found {
            base,
            threshold,
            trials: Vec::new(),
            rounds: Vec::new(),
            best: start.clone(),
            opt: start,
        };
        Ok(Self { score, found })
    }

    /// The winner of the last round; the base before the first.
    pub fn incumbent(&self) -> Mask {
        self.found.opt.0.clone()
    }

    /// Scores candidates of the round under way, asked at once.
    pub fn try_masks(&mut self, questions: &[Question<'_>]) -> Result<Vec<Bounds>> {
        let answers = (self.score)(questions)?;
        for (question, &bounds) in questions.iter().zip(&answers) {
            self.found.trials.push(Trial {
                round: self.found.rounds.len() as u32 + 1,
                layer: question.mask.one_beside(&self.found.opt.0),
                layers: question.mask.layers(),
                bounds,
            });
        }
        Ok(answers)
    }

    /// Ends the round under way with the mask that won it; whether the search goes on.
    pub fn end_round(&mut self, mask: Mask, score: f64) -> bool {
        let found = &mut self.found;
        if score >= found.best.1 {
            found.best = (mask.clone(), score);
        }
        let accepted = found.threshold.is_none_or(|least| score >= least);
        found.rounds.push(Round {
            round: found.rounds.len() as u32 + 1,
            layer: mask.one_beside(&found.opt.0),
            layers: mask.layers(),
            score,
            num_replaced: mask.num_replaced(),
            accepted,
        });
        if accepted {
            found.opt = (mask, score);
        }
        accepted
    }

    /// A round for each mask, which wins it unrivalled, until one is refused.
    pub fn follow(&mut self, masks: impl IntoIterator<Item = Mask>) -> Result<()> {
        for mask in masks {
            let incumbent = self.incumbent();
            let answers = self.try_masks(&[Question { incumbent: &incumbent, mask: &mask, bar: None }])?;
            if !self.end_round(mask, known(&answers[0])) {
                break;
            }
        }
        Ok(())
    }

    /// What was found.
    pub fn finish(self) -> Found {
        self.found
    }
}

/// The score of a mask that was asked for without a bar.
pub(super) fn known(bounds: &Bounds) -> f64 {
    bounds.score().expect("without a bar a score is known")
}
