//! The answers of a hybrid on a validation split, reduced to the parts that an archive holds.

use serde::{Deserialize, Serialize};

use crate::algorithms::score::{ItemAnswer, ScoreResult};

/// The answers of a hybrid without identifiers, labels, log-likelihoods and texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReducedAnswers {
    /// The answers to multiple-choice items.
    Options(ChosenOptions),
    /// The scores of generated texts.
    Scores(AnswerScores),
}

/// The score of a hybrid on a generative task, and the score of each generated answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerScores {
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
    /// The score of each answer.
    pub scores: Vec<f64>,
}

/// The score of a hybrid on a multiple-choice task, and the chosen option of each item.
///
/// The record of the base has the identifiers and labels of the items, in the same order.
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

impl From<ScoreResult> for ReducedAnswers {
    fn from(result: ScoreResult) -> Self {
        let ScoreResult { score, num_items, num_correct, num_truncated, tokens, items, sandbox: _ } = result;
        match items.iter().map(|item| Some(item.as_choice()?.choice)).collect() {
            Some(choices) => {
                Self::Options(ChosenOptions { score, num_items, num_correct, num_truncated, tokens, choices })
            }
            None => Self::Scores(AnswerScores {
                score,
                num_items,
                num_correct,
                num_truncated,
                tokens,
                scores: items.iter().map(ItemAnswer::score).collect(),
            }),
        }
    }
}

impl ReducedAnswers {
    /// Returns the score.
    pub fn score(&self) -> f64 {
        match self {
            Self::Options(answers) => answers.score,
            Self::Scores(answers) => answers.score,
        }
    }
}
