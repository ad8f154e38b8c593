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
}
