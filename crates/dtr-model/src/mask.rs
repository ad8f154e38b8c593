//! Which layers are replaced.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The set of layers whose attention is linear, counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mask(BTreeSet<u32>);

impl Mask {
    /// No layer replaced: the base itself.
    pub fn none() -> Self {
        Self::default()
    }

    /// `num_replaced` of `num_layers` layers: the base is cut into stretches of equal length, and of each the layer in its
    /// middle is replaced, `floor((2 i + 1) L / 2 r)` for the `i`-th of `r` stretches of `L` layers.
    ///
    /// The sets of two numbers need not be nested.
    pub fn spread(num_layers: u32, num_replaced: u32) -> Self {
        (0..num_replaced).map(|stretch| (2 * stretch + 1) * num_layers / (2 * num_replaced)).collect()
    }

    /// This mask and `layer` too.
    pub fn with(&self, layer: u32) -> Self {
        let mut layers = self.0.clone();
        layers.insert(layer);
        Self(layers)
    }

    /// Whether `layer` is replaced.
    pub fn contains(&self, layer: u32) -> bool {
        self.0.contains(&layer)
    }

    /// The first layer in which two masks differ; none if they are the same.
    pub fn first_difference(&self, other: &Self) -> Option<u32> {
        self.0.symmetric_difference(&other.0).next().copied()
    }

    /// The one layer that this mask has beside all of `other`; none where it is no such mask.
    pub fn one_beside(&self, other: &Self) -> Option<u32> {
        let mut beside = self.0.difference(&other.0);
        let layer = beside.next().copied()?;
        (beside.next().is_none() && other.0.is_subset(&self.0)).then_some(layer)
    }

    /// How many layers are replaced.
    pub fn num_replaced(&self) -> u32 {
        self.0.len() as u32
    }

    /// The replaced layers, ascending.
    pub fn layers(&self) -> Vec<u32> {
        self.0.iter().copied().collect()
    }
}

impl FromIterator<u32> for Mask {
    fn from_iter<I: IntoIterator<Item = u32>>(layers: I) -> Self {
        Self(layers.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_layer_beside_another_mask_is_named_if_it_is_one() {
        let mask = |layers: &[u32]| layers.iter().copied().collect::<Mask>();
        let beside = |one: &[u32], other: &[u32]| mask(one).one_beside(&mask(other));
        assert_eq!(beside(&[1, 4], &[4]), Some(1));
        assert_eq!(beside(&[1, 4], &[]), None);
        assert_eq!(beside(&[1, 4], &[1, 4]), None);
        assert_eq!(beside(&[1, 4], &[2]), None);
        assert_eq!(beside(&[1, 4], &[2, 4]), None);
    }

    #[test]
    fn as_many_layers_as_wanted_lie_evenly() {
        for num_layers in 1..=40 {
            for num_replaced in 1..=num_layers {
                let layers = Mask::spread(num_layers, num_replaced).layers();
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
    fn the_spread_sets_of_eight_layers() {
        let sets: Vec<Vec<u32>> =
            (1..=4).map(|num_replaced| Mask::spread(8, num_replaced).layers()).collect();
        assert_eq!(sets, [vec![4], vec![2, 6], vec![1, 4, 6], vec![1, 3, 5, 7]]);
    }
}
