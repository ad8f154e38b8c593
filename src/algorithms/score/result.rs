//! The answers of a base or a hybrid on a split, and its score.

use serde::{Deserialize, Serialize};

/// The answers of one hybrid on one split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreResult {
    /// The task's metric, from 0 to 1.
    pub score: f64,
    /// Items of the split.
    pub num_items: u64,
    /// Items answered as labelled.
    pub num_correct: u64,
    /// Items whose beginning was cut to fit the model's context.
    pub num_truncated: u64,
    /// Tokens that went through the model, pads included; what the choices of an item share counts once.
    pub tokens: u64,
    /// Every answer, in the split's order; what paired tests are made of.
    pub items: Vec<ItemScore>,
}

/// The answer to one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemScore {
    /// The item's name in its data set.
    pub id: String,
    /// The choice that is right.
    pub label: u32,
    /// The choice that the model made.
    pub choice: u32,
    /// Log-likelihood of each choice in nats, in the item's order.
    pub log_likelihoods: Vec<f64>,
}

impl ItemScore {
    /// Whether the model's choice is the right one.
    pub fn is_correct(&self) -> bool {
        self.choice == self.label
    }
}

/// What is known of a score: the score itself, or, of a candidate that was dropped once it could not win,
/// where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreBounds {
    /// The least it can be: were every item that was not asked answered wrongly.
    pub lower: f64,
    /// The most it can be: were every item that was not asked answered rightly.
    pub upper: f64,
}

impl ScoreBounds {
    /// A score that is known.
    pub fn exactly(score: f64) -> Self {
        Self { lower: score, upper: score }
    }

    /// The score, where it is known.
    pub fn score(&self) -> Option<f64> {
        (self.lower == self.upper).then_some(self.lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_correct_when_the_choice_is_the_label() {
        let item =
            ItemScore { id: "7".to_owned(), label: 2, choice: 2, log_likelihoods: vec![-3.0, -2.0, -1.0] };
        assert!(item.is_correct());
        assert!(!ItemScore { choice: 0, ..item }.is_correct());
    }
}
