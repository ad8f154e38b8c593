//! The number of evaluations of a search that replaces every layer.

use crate::algorithms::search::SearchStrategy;

/// Returns the maximum number of evaluations of a search on a base of `num_layers` layers, including cached
/// ones.
///
/// A search evaluates the base and every candidate of every round on the validation split, and then the base,
/// `M_best` and `M_opt` on the test split.
pub fn max_evaluations(strategy: &SearchStrategy, num_layers: u64) -> u64 {
    max_candidates(strategy, num_layers).saturating_add(1 + 3)
}

fn max_candidates(strategy: &SearchStrategy, num_layers: u64) -> u64 {
    match *strategy {
        SearchStrategy::Greedy {} => beam(1, num_layers),
        SearchStrategy::Uniform {} | SearchStrategy::Random { .. } | SearchStrategy::Impact {} => num_layers,
        // Each layer by itself, then one mask for each further number of layers.
        SearchStrategy::LocalImportance {} => num_layers + num_layers.saturating_sub(1),
        SearchStrategy::Beam { width } => beam(width as u64, num_layers),
    }
}

/// Returns the number of masks that a beam search scores. A round extends each mask of the beam by each layer
/// that it lacks, and scores a mask once.
fn beam(width: u64, num_layers: u64) -> u64 {
    let (mut kept, mut all) = (1, 0_u64);
    for num_replaced in 1..=num_layers {
        let children = width.min(kept) * (num_layers - num_replaced + 1);
        kept = children.min(subsets(num_layers, num_replaced));
        all = all.saturating_add(kept);
    }
    all
}

/// Returns the number of subsets of `size` out of `total` elements, at most `u64::MAX`.
fn subsets(total: u64, size: u64) -> u64 {
    let size = size.min(total - size);
    let grown =
        (1..=size).try_fold(1_u64, |count, place| Some(count.checked_mul(total - size + place)? / place));
    grown.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_counts_of_a_greedy_search() {
        let greedy = |num_layers| max_candidates(&SearchStrategy::Greedy {}, num_layers);
        assert_eq!((greedy(28), greedy(32)), (406, 528));
    }

    #[test]
    fn a_wider_beam_scores_more_masks_up_to_all() {
        let of = |width, num_layers| max_candidates(&SearchStrategy::Beam { width }, num_layers);
        assert_eq!(of(1, 28), 406);
        assert_eq!(of(2, 4), 4 + 6 + 4 + 1);
        assert_eq!(of(3, 28), 28 + 3 * (2..=27).sum::<u64>() + 1);
        assert_eq!(of(65536, 10), (1 << 10) - 1);
        assert!(of(65536, 1024) < u64::MAX);
    }
}
