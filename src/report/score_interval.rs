//! The confidence interval of a test score.

use crate::algorithms::score::{ItemAnswer, ScoreResult};
use crate::data::Task;
use crate::stats::{bootstrap_interval, wilson_interval};
use dtr_core::seed::Seed;

/// Returns the confidence interval of a score on `task`.
///
/// If each answer is right or wrong and the score is the fraction of right answers, returns the Wilson
/// interval. Otherwise, returns a bootstrap interval.
pub(super) fn score_interval(task: &Task, result: &ScoreResult, confidence: f64) -> (f64, f64) {
    let is_binary = |item: &ItemAnswer| item.score() == 0.0 || item.score() == 1.0;
    let metric = task.generative().and_then(|task| task.metric.as_ref());
    let Some(metric) = metric.filter(|metric| !metric.is_mean() || !result.items.iter().all(is_binary))
    else {
        return wilson_interval(result.num_correct, result.num_items, confidence);
    };
    let scores: Vec<_> = result.items.iter().filter_map(|item| Some(&item.as_text()?.score)).collect();
    let score = |items: &[usize]| {
        let scores: Vec<_> = items.iter().map(|item| scores[*item].clone()).collect();
        metric.aggregate(&scores).unwrap_or(f64::NAN)
    };
    bootstrap_interval(scores.len(), score, confidence, Seed(0).child("score"))
}
