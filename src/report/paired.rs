//! Two systems on the same test items.

use std::collections::BTreeMap;

use super::evidence::TestEvidence;
use crate::stats::mcnemar_exact;

/// Under this p-value a difference is counted as one.
pub(super) const SIGNIFICANCE: f64 = 0.05;

/// The exact McNemar p-value that two systems are equally good, on the items that both answered.
pub(super) fn p_value(first: &TestEvidence, second: &TestEvidence) -> f64 {
    let answers: BTreeMap<&str, bool> =
        second.items.iter().map(|item| (item.id.as_str(), item.is_correct())).collect();
    let (mut only_first, mut only_second) = (0, 0);
    for item in &first.items {
        match (item.is_correct(), answers.get(item.id.as_str())) {
            (true, Some(false)) => only_first += 1,
            (false, Some(true)) => only_second += 1,
            _ => {}
        }
    }
    mcnemar_exact(only_first, only_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::evidence::ItemEvidence;

    fn answers(correct: &[(&str, bool)]) -> TestEvidence {
        let item = |(id, correct): &(&str, bool)| ItemEvidence {
            id: (*id).to_owned(),
            label: 1,
            choice: u32::from(*correct),
            log_likelihoods: Vec::new(),
        };
        TestEvidence { cell: String::new(), num_truncated: 0, items: correct.iter().map(item).collect() }
    }

    #[test]
    fn only_items_on_which_the_systems_differ_count() {
        let first = answers(&[("a", true), ("b", true), ("c", false), ("d", false), ("e", false)]);
        let second = answers(&[("e", true), ("d", true), ("c", true), ("b", true), ("a", true)]);
        for p in [p_value(&first, &second), p_value(&second, &first)] {
            assert!((p - 0.25).abs() < 1e-12, "{p}");
        }
    }

    #[test]
    fn an_item_that_one_system_lacks_is_left_out() {
        let first = answers(&[("a", true), ("b", false)]);
        let second = answers(&[("a", true), ("c", true)]);
        assert_eq!(p_value(&first, &second), 1.0);
    }
}
