//! What a distillation holds in a device's memory at its peak, by how many layers learn at once.

use crate::error::{Error, Result};
use crate::files::size;
use crate::manifest::{Distil, Dtype, Variant};
use crate::model::{Config, Mixer};

/// Bytes of an f32.
const FULL: u64 = 4;

/// Bytes of a parameter that learns, itself and two moments, in f32 whatever the base is computed in.
const LEARNING: u64 = 3 * FULL;

/// What is held beside for each parameter of the twins that are at work: gradients by tensor and end to end, weights end to end before
/// and after a step, copies in what is computed in; of two twins, since one is asked for before the one before it is done.
const AT_WORK: u64 = 2 * (4 * FULL + 2);

/// Hidden states that a twin at work holds for its gradient, with those of the teacher beside: so many times the width, by token.
const STATES: u64 = 64;

/// Bytes of what a GPU's driver, kernels and products hold for themselves.
const OWN: u64 = 2 << 30;

/// A distillation of some variants side by side.
pub struct Lessons<'a> {
    /// The base's shape.
    pub config: &'a Config,
    /// What it is computed in.
    pub dtype: Dtype,
    /// The variants.
    pub variants: Vec<&'a Variant>,
    /// How they learn.
    pub recipe: &'a Distil,
}

impl Lessons<'_> {
    /// Bytes at the peak on a GPU while `num_layers` learn at once. Lessons are no part of it: a GPU holds one at a time.
    pub fn bytes(&self, num_layers: usize) -> u64 {
        self.base() + num_layers as u64 * LEARNING * self.twins().sum::<u64>() + self.at_work()
    }

    /// Bytes of the base.
    pub fn base(&self) -> u64 {
        element(self.dtype) * self.config.num_parameters()
    }

    /// Parameters of a layer's twin, by variant.
    fn twins(&self) -> impl Iterator<Item = u64> {
        self.variants.iter().map(|variant| Mixer::num_twin_parameters(variant, self.config))
    }

    fn at_work(&self) -> u64 {
        let tokens = (self.recipe.batch_size * self.recipe.sequence_length) as u64;
        let states = STATES * tokens * self.config.hidden_size as u64 * element(self.dtype);
        OWN + AT_WORK * self.twins().max().unwrap_or(0) + states
    }

    /// How many layers can learn at once in `room` bytes.
    ///
    /// # Errors
    /// When not even one can.
    pub fn most_layers(&self, room: u64) -> Result<usize> {
        let fits = |num_layers: &usize| self.bytes(*num_layers) <= room;
        (1..=self.config.num_layers).rev().find(fits).ok_or_else(|| {
            let least = size(self.bytes(1));
            Error::environment(format!(
                "to distil a single layer at a time needs {least} of the device's memory, and {} are free",
                size(room)
            ))
            .hint("lower `distil.batch-size`, or sweep fewer variants at once")
        })
    }
}

/// Bytes of a number.
pub fn element(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F32 => FULL,
        Dtype::Bf16 => 2,
    }
}
