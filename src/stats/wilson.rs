//! The Wilson score interval of a proportion.

use statrs::distribution::{ContinuousCDF, Normal};

/// Returns the Wilson score interval of `correct` out of `total`, at a level `confidence` such as 0.95.
///
/// Unlike the normal approximation (estimate ± z · standard error), this interval stays between 0 and 1. Its
/// width is positive even at 0 % and 100 %. If `total` is 0, the interval is (0, 1).
pub fn wilson_interval(correct: u64, total: u64, confidence: f64) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.0);
    let total_f = total as f64;
    let share = correct as f64 / total_f;
    let shrink = 1.0 + z * z / total_f;
    let centre = (share + z * z / (2.0 * total_f)) / shrink;
    let half = z / shrink * (share * (1.0 - share) / total_f + z * z / (4.0 * total_f * total_f)).sqrt();
    // At 0 % the exact lower bound is 0, and at 100 % the exact upper bound is 1. The formula could miss
    // these values by rounding.
    let low = if correct == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if correct == total { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_items_the_interval_is_from_0_to_1() {
        assert_eq!(wilson_interval(0, 0, 0.95), (0.0, 1.0));
    }
}
