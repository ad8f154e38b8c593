//! Layers in an order that was known before: drawn at random, or ranked by something else than scores.

use rand::Rng;

use super::walk::Walk;
use super::{Found, Question, prefixes};
use crate::algorithms::score::Bounds;
use crate::algorithms::search::StopCriterion;
use dtr_core::error::Result;
use dtr_core::seed::Seed;

/// Replaces layers one by one in `order`, whatever they score.
pub fn in_order(
    order: &[u32],
    stop: &StopCriterion,
    score: impl FnMut(&[Question<'_>]) -> Result<Vec<Bounds>>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    walk.follow(prefixes(order))?;
    Ok(walk.finish())
}

/// A random order, as the paper compares with: every layer draws a lot, and the order is that of the lots.
pub fn random(seed: Seed, num_layers: u32) -> Vec<u32> {
    let mut rng = seed.child("search/random").rng();
    let mut lots: Vec<(u64, u32)> = (0..num_layers).map(|layer| (rng.next_u64(), layer)).collect();
    lots.sort_unstable();
    lots.into_iter().map(|(_, layer)| layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_of_its_seed() {
        assert_eq!(random(Seed(3), 28), random(Seed(3), 28));
        assert_ne!(random(Seed(3), 28), random(Seed(4), 28));
        let mut layers = random(Seed(3), 28);
        layers.sort_unstable();
        assert_eq!(layers, (0..28).collect::<Vec<_>>());
    }

    #[test]
    fn every_layer_comes_first_about_as_often() {
        let mut firsts = [0; 4];
        for seed in 0..400 {
            firsts[random(Seed(seed), 4)[0] as usize] += 1;
        }
        assert!(firsts.iter().all(|&count| (70..=130).contains(&count)), "{firsts:?}");
    }
}
