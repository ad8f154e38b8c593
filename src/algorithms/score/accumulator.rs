//! Adds up the log-likelihoods of a split's items while the split is scored part by part.

use serde::{Deserialize, Serialize};

use super::{ChoiceAnswer, ItemAnswer, ScoreBounds, ScoreResult};
use crate::data::scoring_requests::ScoringRequests;

/// The log-likelihood of one token of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TokenLogLikelihood {
    /// The index of the item.
    pub item: usize,
    /// The index of the choice among the item's choices.
    pub choice: usize,
    /// The log-likelihood in nats.
    pub value: f64,
}

/// The log-likelihoods that are known so far. They determine bounds of the score.
pub(super) struct ScoreAccumulator<'a> {
    requests: &'a ScoringRequests,
    /// The sum of the known log-likelihoods of each choice's tokens, `[item][choice]`.
    log_likelihoods: Vec<Vec<f64>>,
    /// The number of tokens of each item that are still to be scored.
    num_missing: Vec<usize>,
    tokens: u64,
}

impl<'a> ScoreAccumulator<'a> {
    /// Creates an empty accumulator.
    pub fn new(requests: &'a ScoringRequests) -> Self {
        Self {
            requests,
            log_likelihoods: requests.zero_log_likelihoods(),
            num_missing: requests.num_targets_by_item(),
            tokens: 0,
        }
    }

    /// Adds log-likelihoods. `tokens` is the number of tokens that the model processed for this purpose.
    pub fn add(&mut self, scored: impl Iterator<Item = TokenLogLikelihood>, tokens: u64) {
        for TokenLogLikelihood { item, choice, value } in scored {
            self.log_likelihoods[item][choice] += value;
            self.num_missing[item] -= 1;
        }
        self.tokens += tokens;
    }

    /// Returns the number of tokens that the model has processed so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the bounds of the score, or `None` if no item is still to be scored.
    pub fn open_bounds(&self) -> Option<ScoreBounds> {
        let num_items = self.num_missing.len() as u64;
        let num_open = self.num_missing.iter().filter(|missing| **missing > 0).count() as u64;
        let num_correct = self.complete_items().filter(ItemAnswer::is_correct).count() as u64;
        let fraction = |count: u64| count as f64 / num_items as f64;
        let bounds = ScoreBounds { lower: fraction(num_correct), upper: fraction(num_correct + num_open) };
        (num_open > 0).then_some(bounds)
    }

    /// Returns the answers to the items whose tokens have all been scored, in the split's order.
    fn complete_items(&self) -> impl Iterator<Item = ItemAnswer> {
        let items = self.requests.items().iter().enumerate();
        let complete = items.filter(|(index, _)| self.num_missing[*index] == 0);
        complete.map(|(index, item)| {
            ItemAnswer::Choice(ChoiceAnswer {
                id: item.id.clone(),
                label: item.label as u32,
                choice: self.requests.best_choice(item, &self.log_likelihoods[index]),
                log_likelihoods: self.log_likelihoods[index].clone(),
            })
        })
    }

    /// Returns the score. All items must have been scored.
    pub fn result(&self) -> ScoreResult {
        let items: Vec<ItemAnswer> = self.complete_items().collect();
        assert_eq!(items.len(), self.num_missing.len(), "some items of the split are not scored yet");
        let num_correct = items.iter().filter(|item| item.is_correct()).count() as u64;
        let num_items = items.len() as u64;
        ScoreResult {
            score: num_correct as f64 / num_items as f64,
            num_items,
            num_correct,
            num_truncated: self.requests.num_truncated_items(),
            tokens: self.tokens,
            items,
            sandbox: None,
        }
    }
}
