//! The score of a candidate. If the candidate was pruned, only the bounds of its score are known.

use super::{ScoreBounds, ScoreResult};

/// The result of scoring a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum CandidateScore {
    /// The candidate was scored on every item.
    Complete(ScoreResult),
    /// The candidate was pruned after some of the items were scored.
    Pruned {
        /// The bounds of the score when the candidate was pruned.
        bounds: ScoreBounds,
        /// The number of tokens that the model processed before the candidate was pruned, without padding.
        tokens: u64,
    },
}

impl CandidateScore {
    /// Returns the bounds of the score. If the score is complete, both bounds equal the score.
    pub fn bounds(&self) -> ScoreBounds {
        match self {
            Self::Complete(result) => ScoreBounds::exact(result.score),
            Self::Pruned { bounds, .. } => *bounds,
        }
    }

    /// Returns the number of tokens that the model processed, without padding.
    pub fn tokens(&self) -> u64 {
        match self {
            Self::Complete(result) => result.tokens,
            Self::Pruned { tokens, .. } => *tokens,
        }
    }
}

/// A candidate's score, and the work of computing this score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredCandidate {
    /// The score.
    pub score: CandidateScore,
    /// The work in tokens times layers. The tokens include padding. The work on parts that were scored after the
    /// pruning, because the pruning was not known yet, is included.
    pub layer_tokens: u64,
}
