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
