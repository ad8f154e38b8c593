//! The scorer of one split of a task, by likelihoods or by generated texts.

use dtr_core::error::Result;
use dtr_model::{BaseModel, Mask, Twins};

use super::{CandidateScore, GenerationScorer, ScoreResult, ScoredCandidate, Scorer};
use crate::algorithms::candidate::{Candidate, NewestThreshold};
use crate::data::TaskRequests;

/// A scorer of hybrids of one base on one split of a task.
pub enum TaskScorer<'a> {
    /// The task has multiple-choice items.
    Choices(Scorer<'a>),
    /// The model answers by generating text.
    Generation(GenerationScorer<'a>),
}

impl<'a> TaskScorer<'a> {
    /// Creates a scorer of the hybrids of `base` and `twins` on the items of `requests`.
    ///
    /// If `base_score` is given, the items are divided into parts, as in [`Scorer::with_pruning_parts`] and
    /// [`GenerationScorer::with_pruning_parts`].
    pub fn new(
        base: &'a BaseModel,
        twins: Option<&'a Twins>,
        requests: &'a TaskRequests,
        base_score: Option<&ScoreResult>,
    ) -> Self {
        let decoder = &base.decoder;
        match (requests, base_score) {
            (TaskRequests::Choices(requests), None) => Self::Choices(Scorer::new(decoder, twins, requests)),
            (TaskRequests::Choices(requests), Some(score)) => {
                Self::Choices(Scorer::with_pruning_parts(decoder, twins, requests, score))
            }
            (TaskRequests::Generation(requests), None) => {
                Self::Generation(GenerationScorer::new(base, twins, requests))
            }
            (TaskRequests::Generation(requests), Some(score)) => {
                Self::Generation(GenerationScorer::with_pruning_parts(base, twins, requests, score))
            }
        }
    }

    /// Scores, on all items, the hybrid that replaces the layers of `mask`.
    ///
    /// # Errors
    /// Fails if the model computes a value that is not finite, or if an answer cannot be scored.
    pub fn score(&mut self, mask: &Mask) -> Result<ScoreResult> {
        match self {
            Self::Choices(scorer) => scorer.score(&Mask::empty(), mask),
            Self::Generation(scorer) => scorer.score(mask),
        }
    }

    /// Scores candidates. Prunes a candidate as soon as its score can no longer reach its threshold, or
    /// `newest_threshold`, which is read after each part.
    ///
    /// # Errors
    /// Fails if the model computes a value that is not finite, if an answer cannot be scored, or if the newest
    /// threshold cannot be read.
    pub fn score_with_pruning(
        &mut self,
        candidates: &[Candidate<'_>],
        newest_threshold: Option<&NewestThreshold<'_>>,
    ) -> Result<Vec<ScoredCandidate>> {
        match self {
            Self::Choices(scorer) => scorer.score_with_pruning(candidates, newest_threshold),
            Self::Generation(scorer) => scorer.score_with_pruning(candidates, newest_threshold),
        }
    }

    /// Returns the same result as [`Self::score_with_pruning`] for `candidate`, without running the model.
    /// `known` is the candidate's complete score.
    pub fn prune_with_known_score(&self, candidate: &Candidate<'_>, known: ScoreResult) -> CandidateScore {
        match self {
            Self::Choices(scorer) => scorer.prune_with_known_score(candidate, known),
            Self::Generation(scorer) => scorer.prune_with_known_score(candidate, known),
        }
    }
}
