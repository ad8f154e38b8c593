//! Synthetic maps from a seed: roads, curves, junctions with connecting roads, and lanes that begin and end.
//!
//! A map grows as a tree of junctions. Chains of two or three roads join the junctions, so
//! that each road but the connecting roads has a road beside it, which shows its lanes.

mod cross_section;
mod flip;
mod junctions;
mod network;
mod roads;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::map::Map;
use crate::transform::reflected;

/// How large the maps are and what they contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SyntheticOptions {
    /// The number of junctions.
    pub junctions: usize,
    /// The share of maps in which traffic keeps to the left.
    pub left_hand: f64,
    /// The share of roads whose reference line runs against the direction in which the map grew.
    pub flipped: f64,
    /// The share of roads in which a lane begins or ends.
    pub lane_changes: f64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self { junctions: 6, left_hand: 0.1, flipped: 0.3, lane_changes: 0.25 }
    }
}

/// The map of a seed. The same seed and options give the same map on every platform with the same `libm`.
pub fn synthetic_map(seed: u64, options: &SyntheticOptions) -> Map {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut map = network::grow(&mut random, options);
    let ids: Vec<String> =
        map.roads.iter().filter(|road| road.junction.is_none()).map(|road| road.id.clone()).collect();
    for id in ids {
        if random.random_bool(options.flipped) {
            flip::flip(&mut map, &id);
        }
    }
    if random.random_bool(options.left_hand) { reflected(&map) } else { map }
}

/// A number between two bounds.
fn between(random: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * random.random::<f64>()
}
