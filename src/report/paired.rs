//! Paired comparison of two models on the same test items.

use std::collections::BTreeMap;

use super::experiment_records::TestAnswers;
use crate::algorithms::score::ItemAnswer;
use crate::stats::{bootstrap_interval, mcnemar_exact, paired_bootstrap, paired_permutation_test};
use dtr_core::seed::Seed;

/// The significance level. A difference with a lower p-value counts as significant in summaries.
pub(super) const SIGNIFICANCE: f64 = 0.05;

/// The scores of the items that both models answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairedScores {
    /// The second model's score of each item minus the first model's.
    differences: Vec<f64>,
}

impl PairedScores {
    /// Compares the answers of two models item by item. Ignores items that only one model answered.
    pub(super) fn new(first: &TestAnswers, second: &TestAnswers) -> Self {
        let scores: BTreeMap<&str, f64> = second.items.iter().map(|item| (item.id(), item.score())).collect();
        let difference = |item: &ItemAnswer| Some(scores.get(item.id())? - item.score());
        Self { differences: first.items.iter().filter_map(difference).collect() }
    }

    /// Returns the p-value of the null hypothesis that both models are equally good. If each answer is right
    /// or wrong, the test is McNemar's exact test. Otherwise, it is a paired permutation test.
    pub(super) fn p_value(&self) -> f64 {
        match self.exclusive_counts() {
            Some((only_first, only_second)) => mcnemar_exact(only_first, only_second),
            None => paired_permutation_test(&self.differences, Seed(0)),
        }
    }

    /// Returns the mean score of the second model minus the mean score of the first model, in percentage
    /// points. Returns 0 if there are no items.
    pub(super) fn difference(&self) -> f64 {
        100.0 * self.differences.iter().sum::<f64>() / self.differences.len().max(1) as f64
    }

    /// Returns the confidence interval of [`Self::difference`] by a paired bootstrap, in percentage points.
    pub(super) fn interval(&self, confidence: f64, seed: Seed) -> (f64, f64) {
        let num_items = self.differences.len();
        let (low, high) = match self.exclusive_counts() {
            Some((only_first, only_second)) => {
                paired_bootstrap(only_first, only_second, num_items as u64, confidence, seed)
            }
            None => {
                let mean = |items: &[usize]| {
                    items.iter().map(|item| self.differences[*item]).sum::<f64>() / num_items as f64
                };
                bootstrap_interval(num_items, mean, confidence, seed)
            }
        };
        (100.0 * low, 100.0 * high)
    }

    /// Returns the number of items that only the first model answers correctly, and the number of items that
    /// only the second model answers correctly. Returns `None` if an answer is neither right nor wrong.
    fn exclusive_counts(&self) -> Option<(u64, u64)> {
        let (mut only_first, mut only_second) = (0, 0);
        for difference in &self.differences {
            match *difference {
                -1.0 => only_first += 1,
                1.0 => only_second += 1,
                0.0 => {}
                _ => return None,
            }
        }
        Some((only_first, only_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::score::ChoiceAnswer;
    use crate::report::fixture;

    fn answers(correct: &[(&str, bool)]) -> TestAnswers {
        let item = |(id, correct): &(&str, bool)| {
            ItemAnswer::Choice(ChoiceAnswer {
                id: (*id).to_owned(),
                label: 1,
                choice: u32::from(*correct),
                log_likelihoods: Vec::new(),
            })
        };
        fixture::test_answers("score", correct.iter().map(item).collect())
    }

    #[test]
    fn only_items_with_different_answers_count() {
        let first = answers(&[("a", true), ("b", true), ("c", false), ("d", false), ("e", false)]);
        let second = answers(&[("e", true), ("d", true), ("c", true), ("b", true), ("a", true)]);
        for counts in [PairedScores::new(&first, &second), PairedScores::new(&second, &first)] {
            assert!((counts.p_value() - 0.25).abs() < 1e-12, "{counts:?}");
            assert!((counts.difference().abs() - 60.0).abs() < 1e-12, "{counts:?}");
        }
    }

    #[test]
    fn an_item_that_one_model_lacks_is_ignored() {
        let first = answers(&[("a", true), ("b", false)]);
        let second = answers(&[("a", true), ("c", true)]);
        let counts = PairedScores::new(&first, &second);
        assert_eq!((counts.p_value(), counts.difference(), counts.differences.len()), (1.0, 0.0, 1));
    }
}
