//! The paired bootstrap: a confidence interval for the difference of two accuracies on the same items.

use rand_distr::{Binomial, Distribution};

use dtr_core::seed::Seed;

const NUM_RESAMPLES: usize = 9_999;

/// Returns the percentile confidence interval, at the level `confidence`, for the second system's accuracy
/// minus the first system's.
///
/// `only_first` is the number of items that only the first system answered correctly. `only_second` is the
/// number of items that only the second system answered correctly. Each resample draws items with replacement
/// and keeps each item's pair of answers together (Efron and Tibshirani 1993). The difference of a resample
/// depends only on the resample's own values of these two counts. The two counts follow a multinomial
/// distribution. The function therefore draws two binomial numbers instead of items.
///
/// If `num_items` is 0, the interval is (-1, 1).
pub fn paired_bootstrap(
    only_first: u64,
    only_second: u64,
    num_items: u64,
    confidence: f64,
    seed: Seed,
) -> (f64, f64) {
    if num_items == 0 {
        return (-1.0, 1.0);
    }
    let mut rng = seed.child("paired bootstrap").rng();
    let mut draw = |count: u64, total: u64, num_drawn: u64| -> u64 {
        let share = if total == 0 { 0.0 } else { count as f64 / total as f64 };
        Binomial::new(num_drawn, share).expect("a count is at most its total").sample(&mut rng)
    };
    let differences = (0..NUM_RESAMPLES)
        .map(|_| {
            let first = draw(only_first, num_items, num_items);
            let second = draw(only_second, num_items - only_first, num_items - first);
            (second as f64 - first as f64) / num_items as f64
        })
        .collect();
    percentile_interval(differences, confidence)
}

/// Returns the percentile confidence interval of a statistic, at the level `confidence`. `values` has the
/// statistic of each resample.
pub(super) fn percentile_interval(mut values: Vec<f64>, confidence: f64) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (quantile(&values, (1.0 - confidence) / 2.0), quantile(&values, f64::midpoint(1.0, confidence)))
}

/// Returns the quantile of ascending values at the fraction `share`, interpolated linearly between
/// neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}
