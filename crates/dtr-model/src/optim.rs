//! AdamW over a module's parameters, with f32 moments and clipping by the norm of the whole gradient.
//!
//! On a processor parameters are laid end to end, so that a step is a dozen operations however many there are. On a GPU, where a
//! step is one kernel, each is stepped where it lies.

use std::mem::replace;

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Initializer, ParamMut, ParamSource, Parameters, Tensors};
use dtr_core::error::Result;
use dtr_ops::{AdamWStep, WeightDecay, adamw_step, is_cpu, sum_of_squares};

/// AdamW with f32 moments, linear warm-up, cosine decay, and clipping by the global norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Learning rate at the last step, as a fraction of the peak.
    pub final_fraction: f64,
    /// Share of the steps spent warming up.
    pub warmup_fraction: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Term added to the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices; vectors and biases are never decayed.
    pub weight_decay: f64,
    /// Largest global norm of a layer's gradients.
    pub clip: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            final_fraction: 0.01,
            warmup_fraction: 0.05,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip: 1.0,
        }
    }
}

/// AdamW's state for one module.
#[derive(Clone)]
pub struct AdamW {
    config: AdamWConfig,
    parts: Vec<Part>,
    steps: u64,
}

/// The state of parameters that lie end to end: all, or one.
#[derive(Clone)]
struct Part {
    moments: [Tensor<1>; 2],
    /// Weight decay: 0 for vectors.
    decay: WeightDecay,
}

/// A module's gradient in visiting order, laid out as a step takes it, and its norm.
pub struct Gradient {
    parts: Vec<Tensor<1>>,
    norm: Tensor<1>,
}

/// What belongs to each parameter, `[n]`, as a step takes it: end to end, or each by itself.
pub fn laid_out(rows: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    match rows.first().is_some_and(|row| is_cpu(&row.device())) {
        true => vec![Tensor::cat(rows, 0)],
        false => rows,
    }
}

impl Gradient {
    /// The gradient of these rows, one for each parameter or laid out already.
    pub fn new(rows: Vec<Tensor<1>>) -> Self {
        let parts = laid_out(rows);
        let squares = parts.iter().map(|part| sum_of_squares(part.clone())).collect();
        Self { parts, norm: Tensor::cat(squares, 0).sum().sqrt() }
    }

    /// The norm, `[1]`.
    pub fn norm(&self) -> Tensor<1> {
        self.norm.clone()
    }

    /// The norm as a number.
    pub fn read_norm(&self) -> f64 {
        f64::from(self.norm.clone().into_scalar::<f32>())
    }
}

/// The learning rate at `step` (from 0) of `num_steps`: linear warm-up, then a cosine down to
/// `final_fraction` of the peak.
pub fn learning_rate(config: &AdamWConfig, step: u64, num_steps: u64) -> f64 {
    let warmup = (config.warmup_fraction * num_steps as f64).round();
    let at = step as f64 + 1.0;
    if at <= warmup {
        return config.learning_rate * at / warmup;
    }
    let progress = (at - warmup) / (num_steps as f64 - warmup).max(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
    config.learning_rate * (config.final_fraction + (1.0 - config.final_fraction) * cosine)
}

impl AdamW {
    /// Moments of zero for `module`.
    pub fn new(config: &AdamWConfig, module: &mut impl Parameters, device: &Device) -> Self {
        let mut parts: Vec<WeightDecay> = Vec::new();
        let is_end_to_end = is_cpu(device);
        module.visit(&mut |_, slot| {
            let rate = if matches!(slot, ParamMut::Matrix(_)) { config.weight_decay as f32 } else { 0.0 };
            if parts.is_empty() || !is_end_to_end {
                parts.push(WeightDecay::default());
            }
            let last = parts.last_mut().expect("one was pushed");
            last.push(slot.shape().iter().product(), rate);
        });
        let zeros = |size| device.memory_persistent_allocations(size, |size| Tensor::zeros([size], device));
        let part = |decay: WeightDecay| Part { moments: [(); 2].map(|()| zeros(decay.size())), decay };
        Self { config: config.clone(), parts: parts.into_iter().map(part).collect(), steps: 0 }
    }

    /// One step at `learning_rate` along a clipped `gradient`.
    pub fn update(&mut self, module: &mut impl Parameters, gradient: Gradient, learning_rate: f64) {
        self.steps += 1;
        let step = AdamWStep {
            learning_rate,
            betas: self.config.betas,
            epsilon: self.config.epsilon,
            clip: self.config.clip,
            steps: self.steps,
        };
        let Gradient { parts, norm } = gradient;
        let mut states = self.parts.iter_mut().zip(parts);
        let mut next = |weights: Tensor<1>| {
            let (part, gradient) = states.next().expect("a gradient is laid out as the moments are");
            part.step(weights, gradient, &norm, &step)
        };
        match is_cpu(&norm.device()) {
            true => {
                let weights = next(flatten(module));
                unflatten(module, weights);
            }
            false => module.visit(&mut |_, mut slot| slot.change(&mut next)),
        }
    }

    /// Adds the moments to a checkpoint under `name`.
    pub fn store(&self, tensors: &mut Tensors, name: &str) {
        for (index, moment) in NAMES.iter().enumerate() {
            let of_part = |part: &Part| -> Vec<f32> {
                part.moments[index].to_data().try_to_vec().expect("moments are f32")
            };
            let values: Vec<f32> = self.parts.iter().flat_map(of_part).collect();
            tensors.insert(&format!("{name}.{moment}"), vec![values.len()], values);
        }
    }

    /// Takes the moments back from a checkpoint written after `steps` steps.
    pub fn restore(&mut self, checkpoint: &mut Checkpoint, name: &str, steps: u64) -> Result<()> {
        let make: &mut dyn ParamSource = checkpoint;
        let size = self.parts.iter().map(|part| part.decay.size()).sum();
        for (index, moment) in NAMES.iter().enumerate() {
            let all = make.vector(&format!("{name}.{moment}"), size, Initializer::Constant(0.0))?;
            let mut start = 0;
            for part in &mut self.parts {
                part.moments[index] = all.clone().narrow(0, start, part.decay.size());
                start += part.decay.size();
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// What the moments are called in checkpoints.
const NAMES: [&str; 2] = ["first", "second"];

impl Part {
    /// The weights after a step.
    fn step(
        &mut self,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        norm: &Tensor<1>,
        step: &AdamWStep,
    ) -> Tensor<1> {
        // Moments are handed over, so that they are written in place.
        let nothing = [(); 2].map(|()| Tensor::empty([0], &weights.device()));
        let [first, second] = replace(&mut self.moments, nothing);
        let [weights, first, second] =
            adamw_step([weights, first, second], gradient, norm.clone(), &self.decay, step);
        self.moments = [first, second];
        weights
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
