//! The confidence interval of a test score.

use crate::algorithms::score::{ItemAnswer, ScoreResult};
use crate::data::Task;
use crate::stats::{bootstrap_interval, wilson_interval};
use dtr_core::seed::Seed;

/// Returns the confidence interval of a score on `task`.
///
/// If each answer is right or wrong and the score is the fraction of right answers, the interval is Wilson's.
/// Otherwise, it is a bootstrap interval.
pub(super) fn score_interval(task: &Task, result: &ScoreResult, confidence: f64) -> (f64, f64) {
    let Some(task) = task.generative() else {
        return wilson_interval(result.num_correct, result.num_items, confidence);
    };
    let is_binary = |item: &ItemAnswer| item.score() == 0.0 || item.score() == 1.0;
    if task.metric.is_mean() && result.items.iter().all(is_binary) {
        return wilson_interval(result.num_correct, result.num_items, confidence);
    }
    let scores: Vec<_> = result.items.iter().filter_map(|item| Some(&item.as_text()?.score)).collect();
    let score = |items: &[usize]| {
        let scores: Vec<_> = items.iter().map(|item| scores[*item].clone()).collect();
        task.metric.aggregate(&scores).unwrap_or(f64::NAN)
    };
    bootstrap_interval(scores.len(), score, confidence, Seed(0).child("score"))
}
