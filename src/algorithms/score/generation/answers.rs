//! Collects the answers to a split's items while the split is scored part by part.

use dtr_text::metric::AnswerScore;

use super::super::result::{ItemAnswer, ScoreBounds, ScoreResult, TextAnswer};
use crate::data::generation_requests::GenerationRequests;

/// The answers that are known so far. They determine bounds of the score.
pub(in super::super) struct AnswerAccumulator<'a> {
    requests: &'a GenerationRequests,
    /// The answer to each item, in the split's order. `None` as long as the answer is unknown.
    answers: Vec<Option<TextAnswer>>,
}

impl<'a> AnswerAccumulator<'a> {
    /// Creates an empty accumulator.
    pub fn new(requests: &'a GenerationRequests) -> Self {
        Self { requests, answers: vec![None; requests.items().len()] }
    }

    /// Adds the answer to the item with the index `item`.
    pub fn add(&mut self, item: usize, answer: TextAnswer) {
        self.answers[item] = Some(answer);
    }

    /// Returns the number of tokens that the model has processed so far.
    pub fn tokens(&self) -> u64 {
        self.answers.iter().flatten().map(|answer| answer.tokens).sum()
    }

    /// Returns the bounds of the score, or `None` if all answers are known.
    ///
    /// Also returns `None` if the task's score is not the mean of the answers' scores. Such a score has no bounds
    /// before all answers are known.
    pub fn open_bounds(&self) -> Option<ScoreBounds> {
        let num_open = self.answers.iter().filter(|answer| answer.is_none()).count();
        if num_open == 0 || !self.requests.is_mean() {
            return None;
        }
        let sum: f64 = self.answers.iter().flatten().map(|answer| answer.score.value).sum();
        let mean = |sum: f64| sum / self.answers.len() as f64;
        Some(ScoreBounds { lower: mean(sum), upper: mean(sum + num_open as f64) })
    }

    /// Returns the score. All answers must be known.
    pub fn into_result(self) -> ScoreResult {
        let tokens = self.tokens();
        let num_items = self.answers.len();
        let answers: Vec<TextAnswer> = self.answers.into_iter().flatten().collect();
        assert_eq!(answers.len(), num_items, "some items of the split are not answered yet");
        let scores: Vec<AnswerScore> = answers.iter().map(|answer| answer.score.clone()).collect();
        let items: Vec<ItemAnswer> = answers.into_iter().map(ItemAnswer::Text).collect();
        ScoreResult {
            score: self.requests.aggregate(&scores),
            num_items: num_items as u64,
            num_correct: items.iter().filter(|item| item.is_correct()).count() as u64,
            num_truncated: self.requests.num_truncated_items(),
            tokens,
            items,
            sandbox: self.requests.sandbox_record(),
        }
    }
}
