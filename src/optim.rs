//! AdamW over a module's parameters laid end to end, with f32 moments and clipping by global norm.
//!
//! One long vector instead of one per parameter: a step is a dozen operations however many
//! parameters there are, and the norm is the module's own.

use std::mem::replace;

use burn::tensor::{Device, Tensor};

use crate::error::Result;
use crate::manifest::Optimizer;
use crate::model::{Checkpoint, Fill, Make, Parameters, Slot, Tensors};
use crate::ops::{AdamWStep, Decay, adamw, sum_of_squares};

/// AdamW's state for one module.
#[derive(Clone)]
pub struct AdamW {
    recipe: Optimizer,
    first: Tensor<1>,
    second: Tensor<1>,
    /// Weight decay: 0 for vectors.
    decay: Decay,
    steps: u64,
}

/// A module's gradient end to end, in visiting order, and its norm.
pub struct Gradient {
    flat: Tensor<1>,
    norm: Tensor<1>,
}

impl Gradient {
    /// The gradient of these pieces.
    pub fn new(pieces: Vec<Tensor<1>>) -> Self {
        let flat = Tensor::cat(pieces, 0);
        let norm = sum_of_squares(flat.clone()).sqrt();
        Self { flat, norm }
    }

    /// A loss and the norm of its gradient as numbers, read back together: the device is waited for once.
    pub fn read_with(&self, loss: Tensor<1>) -> (f64, f64) {
        let both: Vec<f32> =
            Tensor::cat(vec![loss, self.norm.clone()], 0).into_data().try_to_vec().expect("both are f32");
        (f64::from(both[0]), f64::from(both[1]))
    }

    /// The norm as a number.
    pub fn read_norm(&self) -> f64 {
        f64::from(self.norm.clone().into_scalar::<f32>())
    }
}

/// The learning rate at `step` (from 0) of `num_steps`: linear warm-up, then a cosine down to
/// `final_fraction` of the peak.
pub fn learning_rate(recipe: &Optimizer, step: u64, num_steps: u64) -> f64 {
    let warmup = (recipe.warmup_fraction * num_steps as f64).round();
    let at = step as f64 + 1.0;
    if at <= warmup {
        return recipe.learning_rate * at / warmup;
    }
    let progress = (at - warmup) / (num_steps as f64 - warmup).max(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
    recipe.learning_rate * (recipe.final_fraction + (1.0 - recipe.final_fraction) * cosine)
}

impl AdamW {
    /// Moments of zero for `module`.
    pub fn new(recipe: &Optimizer, module: &mut impl Parameters, device: &Device) -> Self {
        let mut decay = Decay::default();
        module.visit(&mut |_, slot| {
            let rate = if matches!(slot, Slot::Matrix(_)) { recipe.weight_decay as f32 } else { 0.0 };
            decay.push(slot.shape().iter().product(), rate);
        });
        let size = decay.size();
        Self {
            recipe: recipe.clone(),
            first: Tensor::zeros([size], device),
            second: Tensor::zeros([size], device),
            decay,
            steps: 0,
        }
    }

    /// One step at `learning_rate` along a clipped `gradient`.
    pub fn update(&mut self, module: &mut impl Parameters, gradient: Gradient, learning_rate: f64) {
        self.steps += 1;
        let step = AdamWStep {
            learning_rate,
            betas: self.recipe.betas,
            epsilon: self.recipe.epsilon,
            clip: self.recipe.clip,
            steps: self.steps,
        };
        let nothing = || Tensor::empty([0], &self.first.device());
        let (first, second) = (nothing(), nothing());
        // Moments are handed over, so that they are written in place.
        let moments =
            [(&mut self.first, first), (&mut self.second, second)].map(|(own, none)| replace(own, none));
        let [first, second] = moments;
        let Gradient { flat, norm } = gradient;
        let [weights, first, second] =
            adamw([flatten(module), first, second], flat, norm, &self.decay, &step);
        (self.first, self.second) = (first, second);
        unflatten(module, weights);
    }

    /// Adds the moments to a checkpoint under `name`.
    pub fn store(&self, tensors: &mut Tensors, name: &str) {
        for (part, moment) in [("first", &self.first), ("second", &self.second)] {
            let values: Vec<f32> = moment.to_data().try_to_vec().expect("moments are f32");
            tensors.insert(&format!("{name}.{part}"), vec![values.len()], values);
        }
    }

    /// Takes the moments back from a checkpoint written after `steps` steps.
    pub fn restore(&mut self, checkpoint: &mut Checkpoint, name: &str, steps: u64) -> Result<()> {
        let make: &mut dyn Make = checkpoint;
        let size = self.first.dims()[0];
        self.first = make.vector(&format!("{name}.first"), size, Fill::Constant(0.0))?;
        self.second = make.vector(&format!("{name}.second"), size, Fill::Constant(0.0))?;
        self.steps = steps;
        Ok(())
    }
}

/// All parameters end to end, in visiting order.
fn flatten(module: &mut impl Parameters) -> Tensor<1> {
    let mut rows = Vec::new();
    module.visit(&mut |_, slot| rows.push(slot.flat()));
    Tensor::cat(rows, 0)
}

/// Gives each parameter its piece of `flat`.
fn unflatten(module: &mut impl Parameters, flat: Tensor<1>) {
    let mut start = 0;
    module.visit(&mut |_, mut slot| {
        let size: usize = slot.shape().iter().product();
        slot.set(flat.clone().narrow(0, start, size));
        start += size;
    });
}
