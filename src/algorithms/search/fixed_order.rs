//! Strategies that replace layers in an order that does not depend on scores. The order is random, or a
//! ranking by another measure.

use rand::Rng;

use dtr_core::error::Result;
use dtr_core::seed::Seed;

use super::state::SearchState;
use super::{ScoreFn, SearchOutcome, StopCriterion, nested_masks};

/// Replaces layers one by one in `order`. Scores do not influence the choice of layers.
pub fn replace_in_order(
    order: &[u32],
    stop: &StopCriterion,
    score: &mut ScoreFn<'_>,
) -> Result<SearchOutcome> {
    let mut state = SearchState::start(stop, score)?;
    state.run_fixed_rounds(nested_masks(order))?;
    Ok(state.into_outcome())
}

/// Returns the layers in random order, as in the paper's random baseline.
pub fn random_order(seed: Seed, num_layers: u32) -> Vec<u32> {
    let mut rng = seed.child("search/random").rng();
    let mut sort_keys: Vec<(u64, u32)> = (0..num_layers).map(|layer| (rng.next_u64(), layer)).collect();
    sort_keys.sort_unstable();
    sort_keys.into_iter().map(|(_, layer)| layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_random_order() {
        assert_eq!(random_order(Seed(3), 28), random_order(Seed(3), 28));
        assert_ne!(random_order(Seed(3), 28), random_order(Seed(4), 28));
        let mut layers = random_order(Seed(3), 28);
        layers.sort_unstable();
        assert_eq!(layers, (0..28).collect::<Vec<_>>());
    }

    #[test]
    fn every_layer_comes_first_about_as_often() {
        let mut counts = [0; 4];
        for seed in 0..400 {
            counts[random_order(Seed(seed), 4)[0] as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (70..=130).contains(&count)), "{counts:?}");
    }
}
