//! Paired comparison of two models on the same test items.

use std::collections::BTreeMap;

use super::experiment_records::TestAnswers;
use crate::stats::{mcnemar_exact, paired_bootstrap};
use dtr_core::seed::Seed;

/// The significance level. A difference with a lower p-value counts as significant in summaries.
pub(super) const SIGNIFICANCE: f64 = 0.05;

/// Counts of the items that both models answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PairedCounts {
    /// Number of items that only the first model answers correctly.
    only_first: u64,
    /// Number of items that only the second model answers correctly.
    only_second: u64,
    num_items: u64,
}

impl PairedCounts {
    /// Compares the answers of two models item by item. Ignores items that only one model answered.
    pub(super) fn new(first: &TestAnswers, second: &TestAnswers) -> Self {
        let answers: BTreeMap<&str, bool> =
            second.items.iter().map(|item| (item.id.as_str(), item.is_correct())).collect();
        let mut counts = Self { only_first: 0, only_second: 0, num_items: 0 };
        for item in &first.items {
            let Some(second) = answers.get(item.id.as_str()) else { continue };
            counts.num_items += 1;
            counts.only_first += u64::from(item.is_correct() && !second);
            counts.only_second += u64::from(!item.is_correct() && *second);
        }
        counts
    }

    /// Returns the p-value of the exact McNemar test. Its null hypothesis is that both models are equally
    /// accurate.
    pub(super) fn p_value(&self) -> f64 {
        mcnemar_exact(self.only_first, self.only_second)
    }

    /// Returns the score of the second model minus the score of the first model, in percentage points.
    /// Returns 0 if there are no items.
    pub(super) fn difference(&self) -> f64 {
        100.0 * (self.only_second as f64 - self.only_first as f64) / self.num_items.max(1) as f64
    }

    /// Returns the confidence interval of [`Self::difference`] by a paired bootstrap, in percentage points.
    pub(super) fn interval(&self, confidence: f64, seed: Seed) -> (f64, f64) {
        let (low, high) =
            paired_bootstrap(self.only_first, self.only_second, self.num_items, confidence, seed);
        (100.0 * low, 100.0 * high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::score::ItemAnswer;
    use crate::report::fixture;

    fn answers(correct: &[(&str, bool)]) -> TestAnswers {
        let item = |(id, correct): &(&str, bool)| ItemAnswer {
            id: (*id).to_owned(),
            label: 1,
            choice: u32::from(*correct),
            log_likelihoods: Vec::new(),
        };
        fixture::test_answers("score", correct.iter().map(item).collect())
    }

    #[test]
    fn only_items_with_different_answers_count() {
        let first = answers(&[("a", true), ("b", true), ("c", false), ("d", false), ("e", false)]);
        let second = answers(&[("e", true), ("d", true), ("c", true), ("b", true), ("a", true)]);
        for counts in [PairedCounts::new(&first, &second), PairedCounts::new(&second, &first)] {
            assert!((counts.p_value() - 0.25).abs() < 1e-12, "{counts:?}");
            assert!((counts.difference().abs() - 60.0).abs() < 1e-12, "{counts:?}");
        }
    }

    #[test]
    fn an_item_that_one_model_lacks_is_ignored() {
        let first = answers(&[("a", true), ("b", false)]);
        let second = answers(&[("a", true), ("c", true)]);
        let counts = PairedCounts::new(&first, &second);
        assert_eq!((counts.p_value(), counts.difference(), counts.num_items), (1.0, 0.0, 1));
    }
}
