//! The result of scoring a base or a hybrid: the score, and the answer to each item.

use crate::data::SandboxRecord;
use dtr_text::metric::AnswerScore;
use serde::{Deserialize, Serialize};

/// The score of a base or a hybrid on a split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreResult {
    /// The score by the task's metric: for multiple-choice items, the fraction that is answered correctly.
    pub score: f64,
    /// The number of items of the split.
    pub num_items: u64,
    /// The number of items that are answered correctly.
    pub num_correct: u64,
    /// The number of items whose prompt was truncated at its beginning to fit the model's context.
    pub num_truncated: u64,
    /// The number of tokens that the model processed, without padding. If several choices of an item
    /// share a prompt, the prompt's tokens are counted once. Generated tokens are included.
    pub tokens: u64,
    /// The answer to each item, in the split's order. Paired tests compare these answers.
    pub items: Vec<ItemAnswer>,
    /// The sandbox in which the answers ran, if the answers are programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxRecord>,
}

/// The model's answer to one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ItemAnswer {
    /// The model selected a choice.
    Choice(ChoiceAnswer),
    /// The model generated a text.
    Text(TextAnswer),
}

/// The choice that the model selected for a multiple-choice item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceAnswer {
    /// The item's identifier in the data set.
    pub id: String,
    /// The index of the right choice.
    pub label: u32,
    /// The index of the choice that the model selected.
    pub choice: u32,
    /// The log-likelihood of each choice in nats, in the order of the item's choices.
    pub log_likelihoods: Vec<f64>,
}

/// The text that the model generated for an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextAnswer {
    /// The item's identifier in the data set.
    pub id: String,
    /// The generated text, up to the first stop string.
    pub text: String,
    /// The answer that the task's filters extracted from the text.
    pub answer: String,
    /// The score of the answer.
    pub score: AnswerScore,
    /// The number of tokens of the prompt and the text.
    pub tokens: u64,
}

impl ItemAnswer {
    /// Returns the item's identifier in the data set.
    pub fn id(&self) -> &str {
        match self {
            Self::Choice(answer) => &answer.id,
            Self::Text(answer) => &answer.id,
        }
    }

    /// Returns the score of the answer, from 0 to 1. The score of a choice is 0 or 1.
    pub fn score(&self) -> f64 {
        match self {
            Self::Choice(answer) => f64::from(u8::from(answer.choice == answer.label)),
            Self::Text(answer) => answer.score.value,
        }
    }

    /// Returns whether the answer has the full score.
    pub fn is_correct(&self) -> bool {
        self.score() == 1.0
    }

    /// Returns the log-likelihood of each choice in nats. A generated text has none.
    pub fn log_likelihoods(&self) -> &[f64] {
        match self {
            Self::Choice(answer) => &answer.log_likelihoods,
            Self::Text(_) => &[],
        }
    }

    /// Returns the selected choice. `None` for a generated text.
    pub fn as_choice(&self) -> Option<&ChoiceAnswer> {
        match self {
            Self::Choice(answer) => Some(answer),
            Self::Text(_) => None,
        }
    }

    /// Returns the generated text. `None` for a choice.
    pub fn as_text(&self) -> Option<&TextAnswer> {
        match self {
            Self::Choice(_) => None,
            Self::Text(answer) => Some(answer),
        }
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
        let log_likelihoods = vec![-3.0, -2.0, -1.0];
        let item = ChoiceAnswer { id: "7".to_owned(), label: 2, choice: 2, log_likelihoods };
        assert!(ItemAnswer::Choice(item.clone()).is_correct());
        assert!(!ItemAnswer::Choice(ChoiceAnswer { choice: 0, ..item }).is_correct());
    }
}
