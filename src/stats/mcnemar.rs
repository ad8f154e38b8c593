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

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.contingency_tables.mcnemar(exact=True)`, statsmodels 0.15.0 on scipy 1.17.1.
    const STATSMODELS: [(u64, u64, f64); 15] = [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (1, 0, 1.0),
        (1, 1, 1.0),
        (0, 5, 0.0625),
        (0, 6, 0.03125),
        (2, 9, 0.0654296875),
        (9, 2, 0.0654296875),
        (10, 25, 0.016673847800120715),
        (60, 18, 1.9730209111390334e-6),
        (47, 53, 0.6172994135892524),
        (500, 400, 0.0009564441369189373),
        (120, 200, 9.07996856911584e-6),
        (2000, 2100, 0.12206497999113655),
        (3000, 2000, 1.3002310005205326e-45),
    ];

    #[test]
    fn p_values_agree_with_statsmodels() {
        for (only_first, only_second, expected) in STATSMODELS {
            let p = mcnemar_exact(only_first, only_second);
            assert!(
                (p / expected - 1.0).abs() < 1e-10,
                "({only_first}, {only_second}): {p} against {expected}"
            );
        }
    }
}
