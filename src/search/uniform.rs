//! Layers spread evenly, which the paper calls uniform interleaving: a strategy that asks no task.

use super::walk::Walk;
use super::{Found, Question};
use crate::error::Result;
use crate::manifest::Stop;
use crate::model::Mask;
use crate::store::Bounds;

/// Replaces more and more layers, spread evenly over the base, whatever they score.
pub fn uniform(
    num_layers: u32,
    stop: &Stop,
    score: impl FnMut(&Question<'_>) -> Result<Bounds>,
) -> Result<Found> {
    let mut walk = Walk::start(stop, score)?;
    walk.follow((1..=num_layers).map(|num_replaced| spread(num_layers, num_replaced)))?;
    Ok(walk.finish())
}

/// `num_replaced` of `num_layers` layers: the base is cut into stretches of equal length, and of each the layer in its
/// middle is replaced, `floor((2 i + 1) L / 2 r)` for the `i`-th of `r` stretches of `L` layers.
///
/// The sets of two numbers need not be nested.
fn spread(num_layers: u32, num_replaced: u32) -> Mask {
    (0..num_replaced).map(|stretch| (2 * stretch + 1) * num_layers / (2 * num_replaced)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_layers_as_wanted_lie_evenly() {
        for num_layers in 1..=40 {
            for num_replaced in 1..=num_layers {
                let layers = spread(num_layers, num_replaced).layers();
                assert_eq!(layers.len() as u32, num_replaced);
                assert!(layers.iter().all(|layer| *layer < num_layers));
                let gaps: Vec<u32> = layers.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let (least, most) = (gaps.iter().min().unwrap_or(&0), gaps.iter().max().unwrap_or(&0));
                assert!(most - least <= 1, "{layers:?} of {num_layers}");
                let (before, after) = (layers[0], num_layers - 1 - layers[layers.len() - 1]);
                assert!(before.abs_diff(after) <= 1, "{layers:?} of {num_layers} lie in the middle");
            }
        }
    }

    #[test]
    fn the_sets_of_eight_layers() {
        let sets: Vec<Vec<u32>> = (1..=4).map(|num_replaced| spread(8, num_replaced).layers()).collect();
        assert_eq!(sets, [vec![4], vec![2, 6], vec![1, 4, 6], vec![1, 3, 5, 7]]);
    }
}
