//! The evaluation of one candidate on a split, part by part.

use super::accumulator::ScoreAccumulator;
use super::generation::AnswerAccumulator;
use super::part_score::{PartAnswers, PartScore};
use super::{CandidateScore, ScoreBounds, ScoreResult, ScoredCandidate};
use crate::algorithms::candidate::PruneBelow;

/// The answers of a candidate that are known so far.
pub(super) enum KnownAnswers<'a> {
    /// The log-likelihoods of choices.
    Choices(ScoreAccumulator<'a>),
    /// Generated texts.
    Texts(AnswerAccumulator<'a>),
}

impl KnownAnswers<'_> {
    fn add(&mut self, score: PartScore) {
        match (self, score.answers) {
            (Self::Choices(known), PartAnswers::LogLikelihoods(scored)) => {
                known.add(scored.into_iter(), score.tokens);
            }
            (Self::Texts(known), PartAnswers::Texts(texts)) => {
                texts.into_iter().for_each(|(item, answer)| known.add(item, answer));
            }
            _ => unreachable!("all parts of a split have answers of one kind"),
        }
    }

    fn open_bounds(&self) -> Option<ScoreBounds> {
        match self {
            Self::Choices(known) => known.open_bounds(),
            Self::Texts(known) => known.open_bounds(),
        }
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Choices(known) => known.tokens(),
            Self::Texts(known) => known.tokens(),
        }
    }

    fn into_result(self) -> ScoreResult {
        match self {
            Self::Choices(known) => known.result(),
            Self::Texts(known) => known.into_result(),
        }
    }
}

/// A candidate that is being scored.
pub struct Evaluation<'a> {
    prune_below: Option<PruneBelow>,
    known: KnownAnswers<'a>,
    /// The score, if the candidate was pruned.
    pruned: Option<CandidateScore>,
    layer_tokens: u64,
}

impl<'a> Evaluation<'a> {
    /// Creates the evaluation of a candidate with the threshold `prune_below`.
    pub(super) fn new(prune_below: Option<PruneBelow>, known: KnownAnswers<'a>) -> Self {
        Self { prune_below, known, pruned: None, layer_tokens: 0 }
    }

    /// Returns whether the candidate was pruned.
    pub(super) fn is_pruned(&self) -> bool {
        self.pruned.is_some()
    }

    /// Returns whether the candidate has a threshold.
    pub(super) fn has_threshold(&self) -> bool {
        self.prune_below.is_some()
    }

    /// Adds the answers to the next part. Prunes the candidate if its score can no longer reach its threshold.
    /// Counts only the work if the candidate was pruned before.
    pub(super) fn add(&mut self, score: PartScore) {
        self.layer_tokens += score.layer_tokens;
        if self.is_pruned() {
            return;
        }
        self.known.add(score);
        let (Some(bounds), Some(prune_below)) = (self.known.open_bounds(), self.prune_below) else { return };
        if prune_below.prunes(bounds.upper) {
            self.pruned = Some(CandidateScore::Pruned { bounds, tokens: self.known.tokens() });
        }
    }

    /// Ends the evaluation and returns its result.
    pub(super) fn finish(self) -> ScoredCandidate {
        let complete = || CandidateScore::Complete(self.known.into_result());
        ScoredCandidate { score: self.pruned.unwrap_or_else(complete), layer_tokens: self.layer_tokens }
    }
}
