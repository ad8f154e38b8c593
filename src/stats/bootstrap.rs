//! The paired bootstrap: how sure the difference of two scores on the same items is.

use rand_distr::{Binomial, Distribution};

use dtr_core::seed::Seed;

/// Resamples of an interval.
const NUM_RESAMPLES: usize = 9_999;

/// The percentile interval at `confidence` of the second system's share of right answers minus the first's, where
/// `only_first` and `only_second` of `num_items` items were answered right by one of them alone.
///
/// Items are drawn with replacement and in pairs (Efron and Tibshirani 1993). Only how many of a resample's items are of each
/// kind matters, and those counts are multinomial; they are drawn as such, by two binomials. Of no items nothing is
/// known: (-1, 1).
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
    let mut draw = |count: u64, of: u64, num_drawn: u64| -> u64 {
        let share = if of == 0 { 0.0 } else { count as f64 / of as f64 };
        Binomial::new(num_drawn, share).expect("a count is at most its total").sample(&mut rng)
    };
    let mut differences: Vec<f64> = (0..NUM_RESAMPLES)
        .map(|_| {
            let first = draw(only_first, num_items, num_items);
            let second = draw(only_second, num_items - only_first, num_items - first);
            (second as f64 - first as f64) / num_items as f64
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    (quantile(&differences, (1.0 - confidence) / 2.0), quantile(&differences, f64::midpoint(1.0, confidence)))
}

/// The value that a share of ascending values stays under, between neighbours by proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}
