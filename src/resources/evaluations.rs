//! The maximum number of evaluations of a search. An evaluation scores a base or a hybrid on one split of a
//! task. A mask names the layers that a hybrid replaces.

use crate::algorithms::search::SearchStrategy;

/// The number of evaluations on the test split if the search has no earlier stops: the base, `M_best` and
/// `M_opt`.
pub(super) const MIN_TEST_EVALUATIONS: u64 = 3;

/// Returns the maximum number of evaluations of a search on a base of `num_layers` layers, including
/// evaluations whose scores are cached.
///
/// A search evaluates the base and every candidate of every round on the validation split. Then it evaluates
/// the base, the hybrids `M_best` and `M_opt`, and the hybrids of up to `num_earlier_stops` criteria of
/// `search.earlier-stops` on the test split.
/// [`SearchOutcome`](crate::algorithms::search::SearchOutcome) defines the two hybrids.
pub fn max_evaluations(strategy: &SearchStrategy, num_layers: u64, num_earlier_stops: u64) -> u64 {
    max_scored_masks(strategy, num_layers).saturating_add(1 + num_test_evaluations(num_earlier_stops))
}

/// Returns the maximum number of evaluations of a search on the test split.
pub fn num_test_evaluations(num_earlier_stops: u64) -> u64 {
    MIN_TEST_EVALUATIONS + num_earlier_stops
}

/// Returns the maximum number of masks that a search scores on the validation split, without the base.
fn max_scored_masks(strategy: &SearchStrategy, num_layers: u64) -> u64 {
    match *strategy {
        SearchStrategy::Greedy {} => beam_search_masks(1, num_layers),
        SearchStrategy::Uniform {} | SearchStrategy::Random { .. } | SearchStrategy::Impact {} => num_layers,
        // The search scores the mask of each single layer, and then one mask for each larger size.
        SearchStrategy::LocalImportance {} => num_layers + num_layers.saturating_sub(1),
        SearchStrategy::Beam { width } => beam_search_masks(width as u64, num_layers),
    }
}

/// Returns the maximum number of masks that a beam search scores.
///
/// A round extends each mask of the beam by each layer that the mask does not contain. If two masks of the
/// beam give the same new mask, the search scores the new mask only once.
fn beam_search_masks(width: u64, num_layers: u64) -> u64 {
    let (mut num_new_masks, mut total) = (1, 0_u64);
    for num_replaced in 1..=num_layers {
        let num_extensions = width.min(num_new_masks) * (num_layers - num_replaced + 1);
        num_new_masks = num_extensions.min(binomial(num_layers, num_replaced));
        total = total.saturating_add(num_new_masks);
    }
    total
}

/// Returns the binomial coefficient `n` over `k`, or `u64::MAX` if the computation overflows.
fn binomial(n: u64, k: u64) -> u64 {
    let k = k.min(n - k);
    let coefficient = (1..=k).try_fold(1_u64, |product, i| Some(product.checked_mul(n - k + i)? / i));
    coefficient.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_search_scores_as_many_masks_as_published() {
        let greedy = |num_layers| max_scored_masks(&SearchStrategy::Greedy {}, num_layers);
        assert_eq!((greedy(28), greedy(32)), (406, 528));
    }

    #[test]
    fn a_wider_beam_scores_more_masks_up_to_all() {
        let masks = |width, num_layers| max_scored_masks(&SearchStrategy::Beam { width }, num_layers);
        assert_eq!(masks(1, 28), 406);
        assert_eq!(masks(2, 4), 4 + 6 + 4 + 1);
        assert_eq!(masks(3, 28), 28 + 3 * (2..=27).sum::<u64>() + 1);
        assert_eq!(masks(65536, 10), (1 << 10) - 1);
        assert!(masks(65536, 1024) < u64::MAX);
    }
}
