//! What a model answered to the items of some parts of a split.

use serde::{Deserialize, Serialize};

use super::TextAnswer;
use super::accumulator::TokenLogLikelihood;

/// The answers of one candidate to the items of some parts of a split. Processes exchange these values as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartScore {
    pub(super) answers: PartAnswers,
    /// The number of tokens that the model processed, without padding.
    pub(super) tokens: u64,
    /// The work in tokens times layers. The tokens include padding.
    pub(super) layer_tokens: u64,
}

/// The answers to the items of some parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PartAnswers {
    /// The log-likelihoods of the tokens of choices.
    LogLikelihoods(Vec<TokenLogLikelihood>),
    /// Generated texts, each with the index of its item.
    Texts(Vec<(usize, TextAnswer)>),
}
