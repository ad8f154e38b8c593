//! Rank correlation: Kendall's tau-b and Spearman's rho of two rankings, each with a permutation test.

use rand::seq::SliceRandom;

use dtr_core::seed::Seed;

const NUM_PERMUTATIONS: usize = 999;

/// The rank correlation of two rankings of the same elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankCorrelationTest {
    /// The coefficient, from -1 (one ranking is the reverse of the other) to 1 (both are the same).
    pub coefficient: f64,
    /// The p-value of a permutation test: the probability that a random permutation of the second ranking has
    /// at least this coefficient.
    ///
    /// The test shuffles the second ranking 999 times. It also counts the observed ranking as a permutation
    /// (Phipson and Smyth 2010), so the smallest p-value is 0.001. A shuffle does not change the number of
    /// ties in a ranking.
    pub p_value: f64,
}

/// Returns Kendall's tau-b, which corrects for ties, of two rankings of the same elements.
///
/// Returns `None` if a ranking ties all elements, or if there are fewer than two elements.
pub fn kendall_tau_b(first: &[f64], second: &[f64], seed: Seed) -> Option<RankCorrelationTest> {
    let pairs = ascending_pairs(first);
    let scale = (pairs.len() as f64 * ascending_pairs(second).len() as f64).sqrt();
    // Concordant pairs minus discordant pairs.
    let concordance = |second: &[f64]| {
        let (mut same, mut opposite) = (0_u32, 0_u32);
        for (low, high) in &pairs {
            same += u32::from(second[*low] < second[*high]);
            opposite += u32::from(second[*low] > second[*high]);
        }
        f64::from(same) - f64::from(opposite)
    };
    correlate(concordance, second, scale, seed)
}

/// Returns Spearman's rho of two rankings of the same elements. Tied elements share the mean of their ranks.
///
/// Returns `None` if a ranking ties all elements, or if there are fewer than two elements.
pub fn spearman_rho(first: &[f64], second: &[f64], seed: Seed) -> Option<RankCorrelationTest> {
    let (first, second) = (centred_ranks(first), centred_ranks(second));
    let scale = (dot(&first, &first) * dot(&second, &second)).sqrt();
    correlate(|second| dot(&first, second), &second, scale, seed)
}

/// Returns the coefficient `statistic(second) / scale` and its p-value. `scale` must be the same for every
/// order of `second`.
fn correlate(
    statistic: impl Fn(&[f64]) -> f64,
    second: &[f64],
    scale: f64,
    seed: Seed,
) -> Option<RankCorrelationTest> {
    if scale == 0.0 {
        return None;
    }
    let observed = statistic(second);
    let mut rng = seed.child("permutation").rng();
    let mut shuffled = second.to_vec();
    let mut num_as_high = 0;
    for _ in 0..NUM_PERMUTATIONS {
        shuffled.shuffle(&mut rng);
        // Equal sums can differ in their last digits, because rounding depends on the order of the terms.
        num_as_high += u32::from(statistic(&shuffled) >= observed - 1e-9);
    }
    let p_value = f64::from(1 + num_as_high) / (1 + NUM_PERMUTATIONS) as f64;
    Some(RankCorrelationTest { coefficient: observed / scale, p_value })
}

/// Returns the indices of every pair of elements that a ranking does not tie. The smaller element is first.
fn ascending_pairs(ranking: &[f64]) -> Vec<(usize, usize)> {
    let pairs_of = |low: usize| (0..ranking.len()).map(move |high| (low, high));
    (0..ranking.len()).flat_map(pairs_of).filter(|(low, high)| ranking[*low] < ranking[*high]).collect()
}

/// Returns each value's rank minus the mean rank. Equal values share the mean of their ranks.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let num_less = values.iter().filter(|other| *other < value).count() as f64;
        let num_equal = values.iter().filter(|other| *other == value).count() as f64;
        num_less + (num_equal + 1.0) / 2.0
    };
    let mean = (values.len() as f64 + 1.0) / 2.0;
    values.iter().map(|value| rank(value) - mean).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
