//! How many scorings a search asks for, if it replaces every layer.

use super::cells::Searching;
use crate::algorithms::search::SearchStrategy;

impl Searching {
    /// Scorings that the search of a base of `num_layers` layers asks for at most, those that are remembered included: the
    /// base and every candidate of every round, then base, best and opt on the test split.
    pub fn evaluations_at_most(&self, num_layers: u64) -> u64 {
        candidates_at_most(&self.strategy, num_layers).saturating_add(1 + 3)
    }
}

fn candidates_at_most(strategy: &SearchStrategy, num_layers: u64) -> u64 {
    match *strategy {
        SearchStrategy::Greedy {} => beam(1, num_layers),
        SearchStrategy::Uniform {} | SearchStrategy::Random { .. } | SearchStrategy::Impact {} => num_layers,
        // Every layer alone, then one mask for each further number of layers.
        SearchStrategy::LocalImportance {} => num_layers + num_layers.saturating_sub(1),
        SearchStrategy::Beam { width } => beam(width as u64, num_layers),
    }
}

/// Each round extends the masks kept in the one before by every layer that these lack, and tries a mask once.
fn beam(width: u64, num_layers: u64) -> u64 {
    let (mut kept, mut all) = (1, 0_u64);
    for num_replaced in 1..=num_layers {
        let children = width.min(kept) * (num_layers - num_replaced + 1);
        kept = children.min(subsets(num_layers, num_replaced));
        all = all.saturating_add(kept);
    }
    all
}

/// Subsets of `size` out of `total`; the largest number where there are more.
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
        let greedy = |num_layers| candidates_at_most(&SearchStrategy::Greedy {}, num_layers);
        assert_eq!((greedy(28), greedy(32)), (406, 528));
    }

    #[test]
    fn a_wider_beam_tries_more_up_to_every_mask() {
        let of = |width, num_layers| candidates_at_most(&SearchStrategy::Beam { width }, num_layers);
        assert_eq!(of(1, 28), 406);
        assert_eq!(of(2, 4), 4 + 6 + 4 + 1);
        assert_eq!(of(3, 28), 28 + 3 * (2..=27).sum::<u64>() + 1);
        assert_eq!(of(65536, 10), (1 << 10) - 1);
        assert!(of(65536, 1024) < u64::MAX);
    }
}
