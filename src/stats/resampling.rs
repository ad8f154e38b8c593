//! Resampling of item scores: a confidence interval and a paired test for metrics that also give scores
//! between 0 and 1.

use rand::{Rng, RngExt};

use super::bootstrap::percentile_interval;
use dtr_core::seed::Seed;

const NUM_RESAMPLES: usize = 1_999;
const NUM_FLIPS: usize = 9_999;

/// Returns the percentile bootstrap interval of a statistic of `num_items` items, at the level `confidence`.
/// `statistic` receives the item indices of a resample, which is drawn with replacement (Efron and Tibshirani
/// 1993).
///
/// If there are no items, the interval is (0, 1).
pub fn bootstrap_interval(
    num_items: usize,
    statistic: impl Fn(&[usize]) -> f64,
    confidence: f64,
    seed: Seed,
) -> (f64, f64) {
    if num_items == 0 {
        return (0.0, 1.0);
    }
    let mut rng = seed.child("bootstrap").rng();
    let mut indices = vec![0; num_items];
    let values = (0..NUM_RESAMPLES)
        .map(|_| {
            indices.fill_with(|| rng.random_range(0..num_items));
            statistic(&indices)
        })
        .collect();
    percentile_interval(values, confidence)
}

/// Returns the p-value of the paired permutation test. `differences` has the second system's score of each
/// item minus the first system's score.
///
/// Under the null hypothesis, a difference and its negative are equally probable. The test draws random signs
/// for all differences, 9,999 times. It also counts the observed signs (Phipson and Smyth 2010). If all
/// differences are 0, the p-value is 1.
pub fn paired_permutation_test(differences: &[f64], seed: Seed) -> f64 {
    let differences: Vec<f64> = differences.iter().copied().filter(|value| *value != 0.0).collect();
    let observed = differences.iter().sum::<f64>().abs();
    let mut rng = seed.child("paired permutation").rng();
    let mut flipped_sum =
        || differences.iter().map(|value| if rng.next_u32() & 1 == 0 { *value } else { -value }).sum();
    // Equal sums can differ by rounding, so sums that are almost equal count as equal.
    let tolerance = 1e-9 * differences.len() as f64;
    let num_extreme =
        (0..NUM_FLIPS).map(|_| flipped_sum()).filter(|sum: &f64| sum.abs() >= observed - tolerance);
    (num_extreme.count() + 1) as f64 / (NUM_FLIPS + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_agrees_with_the_normal_approximation() {
        let scores: Vec<f64> = (0..400).map(|item| f64::from(item % 5) / 4.0).collect();
        let mean = |items: &[usize]| items.iter().map(|item| scores[*item]).sum::<f64>() / 400.0;
        let (low, high) = bootstrap_interval(scores.len(), mean, 0.95, Seed(3));
        // The standard deviation of the scores is sqrt(1/8).
        let half = 1.959_964 * (0.125_f64 / 400.0).sqrt();
        assert!((low - (0.5 - half)).abs() < 0.004 && (high - (0.5 + half)).abs() < 0.004, "{low} {high}");
        assert_eq!(bootstrap_interval(0, |_| 0.0, 0.95, Seed(3)), (0.0, 1.0));
    }

    #[test]
    fn the_permutation_test_agrees_with_the_exact_count_of_sign_flips() {
        // Of the 32 assignments of signs, 4 have a sum of at least 13 in absolute value. The sums are 15 and
        // -15 if all signs are equal, and 13 and -13 if only the sign of 1 differs.
        let p_value = paired_permutation_test(&[5.0, 4.0, 3.0, 2.0, -1.0], Seed(1));
        assert!((p_value - 4.0 / 32.0).abs() < 0.01, "{p_value}");
        assert_eq!(paired_permutation_test(&[0.0, 0.0], Seed(1)), 1.0);
    }
}
