//! The set of layers whose softmax attention is replaced by linear attention.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The set of layers of a hybrid whose attention is replaced. The first layer has the index 0.
///
/// ```
/// use dtr_model::Mask;
///
/// let mask = Mask::empty().with_layer(4).with_layer(1);
/// assert_eq!(mask.layers(), [1, 4]);
/// assert!(mask.contains(4));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mask(BTreeSet<u32>);

impl Mask {
    /// Returns the mask of the base, in which no layer is replaced.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns the mask of `r = num_replaced` evenly spaced layers out of `L = num_layers`. The interval from
    /// 0 to `L` is divided into `r` equal parts, and the layer at the middle of each part is replaced. For
    /// part `i`, counted from 0, this is the layer `floor((2 i + 1) L / (2 r))`.
    ///
    /// The layers for a smaller `r` are not always a subset of the layers for a larger `r`.
    pub fn evenly_spaced(num_layers: u32, num_replaced: u32) -> Self {
        (0..num_replaced).map(|range| (2 * range + 1) * num_layers / (2 * num_replaced)).collect()
    }

    /// Returns this mask with `layer` replaced too.
    pub fn with_layer(&self, layer: u32) -> Self {
        let mut layers = self.0.clone();
        layers.insert(layer);
        Self(layers)
    }

    /// Returns whether `layer` is replaced.
    pub fn contains(&self, layer: u32) -> bool {
        self.0.contains(&layer)
    }

    /// Returns the first layer that only one of the two masks replaces, or `None` if the masks are equal.
    pub fn first_difference(&self, other: &Self) -> Option<u32> {
        self.0.symmetric_difference(&other.0).next().copied()
    }

    /// If this mask consists of `other` and exactly one more layer, returns that layer. Otherwise returns
    /// `None`.
    pub fn single_layer_added_to(&self, other: &Self) -> Option<u32> {
        let mut added = self.0.difference(&other.0);
        let layer = added.next().copied()?;
        (added.next().is_none() && other.0.is_subset(&self.0)).then_some(layer)
    }

    /// Returns the number of replaced layers.
    pub fn num_replaced(&self) -> u32 {
        self.0.len() as u32
    }

    /// Returns the replaced layers in ascending order.
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
    fn a_single_added_layer_is_found() {
        let mask = |layers: &[u32]| layers.iter().copied().collect::<Mask>();
        let added = |one: &[u32], other: &[u32]| mask(one).single_layer_added_to(&mask(other));
        assert_eq!(added(&[1, 4], &[4]), Some(1));
        assert_eq!(added(&[1, 4], &[]), None);
        assert_eq!(added(&[1, 4], &[1, 4]), None);
        assert_eq!(added(&[1, 4], &[2]), None);
        assert_eq!(added(&[1, 4], &[2, 4]), None);
    }

    #[test]
    fn layers_are_evenly_spaced_and_centred() {
        for num_layers in 1..=40 {
            for num_replaced in 1..=num_layers {
                let layers = Mask::evenly_spaced(num_layers, num_replaced).layers();
                assert_eq!(layers.len() as u32, num_replaced);
                assert!(layers.iter().all(|layer| *layer < num_layers));
                let gaps: Vec<u32> = layers.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let (least, most) = (gaps.iter().min().unwrap_or(&0), gaps.iter().max().unwrap_or(&0));
                assert!(most - least <= 1, "{layers:?} of {num_layers}");
                let (before, after) = (layers[0], num_layers - 1 - layers[layers.len() - 1]);
                assert!(before.abs_diff(after) <= 1, "{layers:?} of {num_layers} are not centred");
            }
        }
    }

    #[test]
    fn evenly_spaced_layers_of_eight() {
        let sets: Vec<Vec<u32>> =
            (1..=4).map(|num_replaced| Mask::evenly_spaced(8, num_replaced).layers()).collect();
        assert_eq!(sets, [vec![4], vec![2, 6], vec![1, 4, 6], vec![1, 3, 5, 7]]);
    }
}
