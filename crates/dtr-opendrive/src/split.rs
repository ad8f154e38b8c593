//! Splits maps, never roads, into training, validation and test maps.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// What the items of a map are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Fine-tuning and distillation.
    Train,
    /// The search and the choice of settings.
    Validation,
    /// The reported scores.
    Test,
}

/// The split of each of `count` maps: about the shares `validation` and `test`, and at least one map of each
/// if there are three maps.
pub fn split_maps(count: usize, validation: f64, test: f64, seed: u64) -> Vec<Split> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let size = |share: f64| {
        let size = (share * count as f64).round() as usize;
        if count >= 3 && share > 0.0 { size.max(1) } else { size }
    };
    let (test, validation) = (size(test), size(validation));
    let mut splits = vec![Split::Train; count];
    for (place, map) in order.into_iter().enumerate() {
        if place < test {
            splits[map] = Split::Test;
        } else if place < test + validation {
            splits[map] = Split::Validation;
        }
    }
    splits
}
