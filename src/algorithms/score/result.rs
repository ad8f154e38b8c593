//! The result of scoring a base or a hybrid: the score, and the answer to each item.

use serde::{Deserialize, Serialize};

/// The score of a base or a hybrid on a split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreResult {
    /// The fraction of items that are answered correctly.
    pub score: f64,
    /// The number of items of the split.
    pub num_items: u64,
    /// The number of items that are answered correctly.
    pub num_correct: u64,
    /// The number of items whose prompt was truncated at its beginning to fit the model's context.
    pub num_truncated: u64,
    /// The number of tokens that the model processed, without padding. If several choices of an item
    /// share a prompt, its tokens are counted once.
    pub tokens: u64,
    /// The answer to each item, in the split's order. Paired tests compare these answers.
    pub items: Vec<ItemAnswer>,
}

/// The model's answer to one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemAnswer {
    /// The item's identifier in the data set.
    pub id: String,
    /// The index of the right choice.
    pub label: u32,
    /// The index of the choice that the model selected.
    pub choice: u32,
    /// The log-likelihood of each choice in nats, in the order of the item's choices.
    pub log_likelihoods: Vec<f64>,
}

impl ItemAnswer {
    /// Returns whether the model selected the right choice.
    pub fn is_correct(&self) -> bool {
        self.choice == self.label
    }
}

/// The lower and the upper bound of a score. The bounds of an exact score are equal. The bounds of a pruned
/// candidate differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreBounds {
    /// The score if every item that was not scored is answered wrongly.
    pub lower: f64,
    /// The score if every item that was not scored is answered correctly.
    pub upper: f64,
}

impl ScoreBounds {
    /// Returns the bounds of an exact score.
    pub fn exact(score: f64) -> Self {
        Self { lower: score, upper: score }
    }

    /// Returns the score if the bounds are equal.
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
            ItemAnswer { id: "7".to_owned(), label: 2, choice: 2, log_likelihoods: vec![-3.0, -2.0, -1.0] };
        assert!(item.is_correct());
        assert!(!ItemAnswer { choice: 0, ..item }.is_correct());
    }
}
