//! Whether two orders of the same things agree: Kendall's tau-b and Spearman's rho, and how likely chance agrees as
//! well.

use rand::seq::SliceRandom;

use dtr_core::seed::Seed;

/// Orders drawn by a permutation test.
const NUM_PERMUTATIONS: usize = 999;

/// How far two orders agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// From -1, one order reversed, to 1, the same order.
    pub measure: f64,
    /// The probability of at least that much agreement by chance: with the second order shuffled, which keeps the
    /// ties of both. A share of 999 drawn orders and the one that is there (Phipson and Smyth 2010), so never under
    /// 0.001.
    pub p_value: f64,
}

/// Kendall's tau-b of two rankings of the same things; ties within a ranking are allowed for.
///
/// None where a ranking ties all things, or there are not two.
pub fn kendall_tau_b(first: &[f64], second: &[f64], seed: Seed) -> Option<Agreement> {
    let pairs = ascending_pairs(first);
    let scale = (pairs.len() as f64 * ascending_pairs(second).len() as f64).sqrt();
    // Pairs that both have in the same order, minus those that they have in opposite orders.
    let concordance = |second: &[f64]| {
        let (mut same, mut opposite) = (0_u32, 0_u32);
        for (low, high) in &pairs {
            same += u32::from(second[*low] < second[*high]);
            opposite += u32::from(second[*low] > second[*high]);
        }
        f64::from(same) - f64::from(opposite)
    };
    agreement(concordance, second, scale, seed)
}

/// Spearman's rho of two rankings of the same things; tied things share the mean of their ranks.
///
/// None where a ranking ties all things, or there are not two.
pub fn spearman_rho(first: &[f64], second: &[f64], seed: Seed) -> Option<Agreement> {
    let (first, second) = (centred_ranks(first), centred_ranks(second));
    let scale = (dot(&first, &first) * dot(&second, &second)).sqrt();
    agreement(|second| dot(&first, second), &second, scale, seed)
}

/// The agreement whose measure is `unscaled` of the second ranking over `scale`, which no shuffling changes.
fn agreement(unscaled: impl Fn(&[f64]) -> f64, second: &[f64], scale: f64, seed: Seed) -> Option<Agreement> {
    if scale == 0.0 {
        return None;
    }
    let found = unscaled(second);
    let mut rng = seed.child("permutation").rng();
    let mut shuffled = second.to_vec();
    let mut num_as_high = 0;
    for _ in 0..NUM_PERMUTATIONS {
        shuffled.shuffle(&mut rng);
        // Sums of the same terms in another order differ in their last digits.
        num_as_high += u32::from(unscaled(&shuffled) >= found - 1e-9);
    }
    let p_value = f64::from(1 + num_as_high) / (1 + NUM_PERMUTATIONS) as f64;
    Some(Agreement { measure: found / scale, p_value })
}

/// Every pair of things that a ranking does not tie, the lower one first.
fn ascending_pairs(ranking: &[f64]) -> Vec<(usize, usize)> {
    let pairs_of = |low: usize| (0..ranking.len()).map(move |high| (low, high));
    (0..ranking.len()).flat_map(pairs_of).filter(|(low, high)| ranking[*low] < ranking[*high]).collect()
}

/// The rank of each value less the mean rank; of equals the mean of theirs.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let num_less = values.iter().filter(|other| *other < value).count() as f64;
        let num_equal = values.iter().filter(|other| *other == value).count() as f64;
        num_less + (num_equal + 1.0) / 2.0
    };
    let mean = (values.len() as f64 + 1.0) / 2.0;
    values.iter().map(|value| rank(value) - mean).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
