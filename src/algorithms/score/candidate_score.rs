//! The score of a candidate. If the candidate was pruned, only the bounds of its score are known.

use serde::{Deserialize, Serialize};

use super::{ScoreBounds, ScoreResult};
use crate::algorithms::candidate::PruneBelow;

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

/// The bounds of a candidate's score after a part of the split, while some items are still to be scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartBounds {
    /// The bounds.
    pub bounds: ScoreBounds,
    /// The number of tokens that the model has processed so far, without padding.
    pub tokens: u64,
}

impl PartBounds {
    /// Returns the score of a candidate that would be pruned after one of `parts`. Returns `None` if it would
    /// not be pruned after any of them.
    pub fn prune(parts: &[Self], prune_below: &PruneBelow) -> Option<CandidateScore> {
        let pruned = parts.iter().find(|part| prune_below.prunes(part.bounds.upper))?;
        Some(CandidateScore::Pruned { bounds: pruned.bounds, tokens: pruned.tokens })
    }
}

/// A candidate's score, and the work of computing this score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredCandidate {
    /// The score.
    pub score: CandidateScore,
    /// The bounds of the score after each part that was scored, if the candidate was pruned. Otherwise empty.
    pub parts: Vec<PartBounds>,
    /// The work in tokens times layers. The tokens include padding.
    pub layer_tokens: u64,
}
