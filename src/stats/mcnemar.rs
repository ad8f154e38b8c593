//! McNemar's exact test: do two systems that answered the same items differ?

use statrs::distribution::{Binomial, DiscreteCDF};

/// The two-sided exact p-value that two systems are equally good, where one alone was right on
/// `only_first` items and the other alone on `only_second`.
///
/// Under that hypothesis each such item is a fair coin, so this is twice the binomial tail, at most 1.
pub fn mcnemar_exact(only_first: u64, only_second: u64) -> f64 {
    let coins = Binomial::new(0.5, only_first + only_second).expect("one half is a probability");
    (2.0 * coins.cdf(only_first.min(only_second))).min(1.0)
}
