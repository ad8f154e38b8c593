//! Layers in an order drawn at random, as the paper compares with: what choosing is worth.

use rand::Rng;

use super::walk::Walk;
use super::{Found, Question, prefixes};
use crate::error::Result;
use crate::manifest::Stop;
use crate::seed::Seed;
use crate::store::Bounds;

/// Replaces layers one by one in a random order, whatever they score.
pub fn random(
    seed: Seed,
    num_layers: u32,
    stop: &Stop,
    score: impl FnMut(&Question<'_>) -> Result<Bounds>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    walk.follow(prefixes(&order(seed, num_layers)))?;
    Ok(walk.finish())
}

/// Every layer draws a lot; the order is that of the lots.
fn order(seed: Seed, num_layers: u32) -> Vec<u32> {
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
        assert_eq!(order(Seed(3), 28), order(Seed(3), 28));
        assert_ne!(order(Seed(3), 28), order(Seed(4), 28));
        let mut layers = order(Seed(3), 28);
        layers.sort_unstable();
        assert_eq!(layers, (0..28).collect::<Vec<_>>());
    }

    #[test]
    fn every_layer_comes_first_about_as_often() {
        let mut firsts = [0; 4];
        for seed in 0..400 {
            firsts[order(Seed(seed), 4)[0] as usize] += 1;
        }
        assert!(firsts.iter().all(|&count| (70..=130).contains(&count)), "{firsts:?}");
    }
}
