//! McNemar's exact test of whether two systems have different accuracies on the same items.

use statrs::distribution::{Binomial, DiscreteCDF};

/// Returns the two-sided exact p-value of the hypothesis that two systems are equally accurate.
///
/// `only_first` is the number of items that only the first system answered correctly. `only_second` is the
/// number of items that only the second system answered correctly. Under the hypothesis each of these items
/// is a fair coin toss, so the p-value is twice the binomial tail, capped at 1.
pub fn mcnemar_exact(only_first: u64, only_second: u64) -> f64 {
    let coins = Binomial::new(0.5, only_first + only_second).expect("one half is a probability");
    (2.0 * coins.cdf(only_first.min(only_second))).min(1.0)
}
