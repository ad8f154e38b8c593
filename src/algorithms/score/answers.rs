//! A split's answers as they come in, part by part.

use super::PruneBelow;
use crate::algorithms::score::{Bounds, ItemScore, ScoreResult};
use crate::data::requests::Requests;

/// Item, choice and log-likelihood of a token.
pub(super) type Likelihood = (usize, usize, f64);

/// The log-likelihoods that are known so far, and what they say of the score.
pub(super) struct Answers<'a> {
    requests: &'a Requests,
    log_likelihoods: Vec<Vec<f64>>,
    /// How many log-likelihoods of tokens each item still wants.
    wanted: Vec<usize>,
    tokens: u64,
}

impl<'a> Answers<'a> {
    /// None yet.
    pub fn new(requests: &'a Requests) -> Self {
        Self { requests, log_likelihoods: requests.blank(), wanted: requests.num_targets(), tokens: 0 }
    }

    /// Adds the log-likelihoods of tokens, each with its item and choice.
    pub fn add(&mut self, scored: impl Iterator<Item = Likelihood>, tokens: u64) {
        for (item, choice, value) in scored {
            self.log_likelihoods[item][choice] += value;
            self.wanted[item] -= 1;
        }
        self.tokens += tokens;
    }

    /// Tokens that went through the model.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Where the score lies, if that is hopeless before every item was asked.
    pub fn bounds_if(&self, hopeless: &PruneBelow) -> Option<Bounds> {
        let num_items = self.wanted.len() as u64;
        let num_open = self.wanted.iter().filter(|wanted| **wanted > 0).count() as u64;
        let num_correct = self.items().filter(ItemScore::is_correct).count() as u64;
        let fraction = |count: u64| count as f64 / num_items as f64;
        let bounds = Bounds { at_least: fraction(num_correct), at_most: fraction(num_correct + num_open) };
        (num_open > 0 && hopeless(bounds.at_most)).then_some(bounds)
    }

    /// The answers to the items that were asked, in the split's order.
    fn items(&self) -> impl Iterator<Item = ItemScore> {
        let asked = self.requests.items().iter().enumerate().filter(|(index, _)| self.wanted[*index] == 0);
        asked.map(|(index, item)| ItemScore {
            id: item.id.clone(),
            label: item.label as u32,
            choice: self.requests.choose(item, &self.log_likelihoods[index]),
            log_likelihoods: self.log_likelihoods[index].clone(),
        })
    }

    /// The score, once every item was asked.
    pub fn result(&self) -> ScoreResult {
        let items: Vec<ItemScore> = self.items().collect();
        assert_eq!(items.len(), self.wanted.len(), "every item has its row in some part");
        let num_correct = items.iter().filter(|item| item.is_correct()).count() as u64;
        let num_items = items.len() as u64;
        ScoreResult {
            score: num_correct as f64 / num_items as f64,
            num_items,
            num_correct,
            num_truncated: self.requests.num_truncated(),
            tokens: self.tokens,
            items,
        }
    }
}
