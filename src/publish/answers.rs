//! The answers of a hybrid on a validation split, as an archive holds them.

use serde::{Deserialize, Serialize};

use crate::algorithms::score::ScoreResult;

/// A score and the chosen option of each item, without identifiers, labels and log-likelihoods.
///
/// The record of the base has the identifiers and labels, in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenOptions {
    /// See [`ScoreResult::score`].
    pub score: f64,
    /// See [`ScoreResult::num_items`].
    pub num_items: u64,
    /// See [`ScoreResult::num_correct`].
    pub num_correct: u64,
    /// See [`ScoreResult::num_truncated`].
    pub num_truncated: u64,
    /// See [`ScoreResult::tokens`].
    pub tokens: u64,
    /// The index of the option that the model chose, for each item.
    pub choices: Vec<u32>,
}

impl From<ScoreResult> for ChosenOptions {
    fn from(result: ScoreResult) -> Self {
        Self {
            score: result.score,
            num_items: result.num_items,
            num_correct: result.num_correct,
            num_truncated: result.num_truncated,
            tokens: result.tokens,
            choices: result.items.iter().map(|item| item.choice).collect(),
        }
    }
}
