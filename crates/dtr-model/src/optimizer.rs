//! AdamW over the parameters of a module, with f32 moments and clipping by the norm of the gradient.
//!
//! On a CPU, all parameters are concatenated into one vector, so that a step takes a dozen operations
//! regardless of the number of parameters. On a GPU, a separate kernel launch updates each parameter.

use std::mem::replace;

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Initializer, NamedTensors, ParamMut, ParamSource, Parameters, SafetensorsReader};
use dtr_core::error::Result;
use dtr_ops::{AdamWStep, WeightDecay, adamw_step, is_cpu, sum_of_squares};

/// Settings of AdamW with f32 moments, linear warm-up, cosine decay, and clipping by the gradient's norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Peak learning rate.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Learning rate at the last step, as a fraction of the peak.
    #[schemars(range(min = 0, max = 1))]
    pub final_fraction: f64,
    /// Fraction of the steps during which the learning rate warms up.
    #[schemars(range(min = 0, max = 1))]
    pub warmup_fraction: f64,
    /// Decay rates of the first and the second moment.
    #[schemars(extend("items" = { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }))]
    pub betas: [f64; 2],
    /// Term added to the denominator of the update.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
    /// Decoupled weight decay of matrices. Biases and other vectors are not decayed.
    #[schemars(range(min = 0, max = 10))]
    pub weight_decay: f64,
    /// Maximum norm of the gradient. Distillation clips the gradient of each twin separately, and pretraining
    /// clips the gradient of the whole model.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
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

impl AdamWConfig {
    /// Returns the learning rate of `step`, counted from 0, in a training of `num_steps` steps. The rate
    /// rises linearly to the peak, then decays along a cosine to `final_fraction` of the peak.
    pub fn learning_rate_at(&self, step: u64, num_steps: u64) -> f64 {
        let warmup = (self.warmup_fraction * num_steps as f64).round();
        let at = step as f64 + 1.0;
        if at <= warmup {
            return self.learning_rate * at / warmup;
        }
        let progress = (at - warmup) / (num_steps as f64 - warmup).max(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
        self.learning_rate * (self.final_fraction + (1.0 - self.final_fraction) * cosine)
    }
}

/// The AdamW optimizer of one module, with its moments.
///
/// ```
/// use burn::tensor::{DType, Device};
/// use dtr_model::optimizer::{AdamW, AdamWConfig, Gradient};
/// use dtr_model::{AutodiffCopy, Hybrid, testing};
///
/// let device = Device::flex();
/// let mut decoder = testing::decoder(false, false);
/// let config = AdamWConfig::default();
/// let mut optimizer = AdamW::new(&config, &mut decoder, &device);
/// for step in 0..2 {
///     let copy = AutodiffCopy::new(&decoder, DType::F32);
///     let loss = Hybrid::from_base(&copy.0).forward_hidden(&[vec![1, 2, 3]], None, None).square().mean();
///     let gradient = Gradient::new(copy.gradients(&loss));
///     optimizer.update(&mut decoder, gradient, config.learning_rate_at(step, 2));
/// }
/// ```
#[derive(Clone)]
pub struct AdamW {
    config: AdamWConfig,
    groups: Vec<ParamGroup>,
    num_steps: u64,
}

/// The optimizer state of the parameters that are updated together: all parameters on a CPU, or a single
/// parameter on a GPU.
#[derive(Clone)]
struct ParamGroup {
    /// The first and the second moment, `[n]` each.
    moments: [Tensor<1>; 2],
    /// The weight decay of each parameter. It is 0 for vectors.
    decay: WeightDecay,
}

/// The gradient of a module, grouped by [`group_for_update`], and its norm.
pub struct Gradient {
    groups: Vec<Tensor<1>>,
    /// The norm, `[1]`, or the norm of each layer of a stack, `[layers]`.
    norm: Tensor<1>,
}

/// Converts `rows`, one vector for each parameter, to the vectors that AdamW updates. On a CPU, the rows are
/// concatenated to one vector. On a GPU, the rows stay separate.
pub fn group_for_update(rows: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    match rows.first().is_some_and(|row| is_cpu(&row.device())) {
        true => vec![Tensor::cat(rows, 0)],
        false => rows,
    }
}

impl Gradient {
    /// Creates a gradient from one vector for each parameter, in the order of [`Parameters::visit`], or from
    /// the vectors that [`group_for_update`] returned.
    pub fn new(rows: Vec<Tensor<1>>) -> Self {
        let groups = group_for_update(rows);
        let squares = groups.iter().map(|group| sum_of_squares(group.clone(), 1)).collect();
        Self { groups, norm: Tensor::cat(squares, 0).sum().sqrt() }
    }

    /// Creates the gradients of several modules from one vector for each parameter. All gradients are clipped
    /// by the norm over all modules.
    pub fn of_modules(rows: Vec<Vec<Tensor<1>>>) -> Vec<Self> {
        let gradients: Vec<Self> = rows.into_iter().map(Self::new).collect();
        let squares = gradients.iter().map(|gradient| gradient.norm().square()).collect();
        let norm = Tensor::cat(squares, 0).sum().sqrt();
        gradients.into_iter().map(|gradient| Self { norm: norm.clone(), ..gradient }).collect()
    }

    /// Creates the gradient of a stack of `layers` layers from one vector for each parameter. The gradient of
    /// each layer is clipped by its own norm.
    pub fn stacked(rows: Vec<Tensor<1>>, layers: usize) -> Self {
        if layers == 1 {
            return Self::new(rows);
        }
        let squares = rows.iter().map(|row| sum_of_squares(row.clone(), layers)).collect();
        let norm = Tensor::stack::<2>(squares, 0).sum_dim(0).squeeze_dim::<1>(0).sqrt();
        Self { groups: rows, norm }
    }

    /// Returns the norm on the device: `[1]`, or `[layers]` for a stack of layers.
    pub fn norm(&self) -> Tensor<1> {
        self.norm.clone()
    }
}

impl AdamW {
    /// Creates an optimizer for `module`. All moments start at zero.
    pub fn new(config: &AdamWConfig, module: &mut impl Parameters, device: &Device) -> Self {
        let mut decays: Vec<WeightDecay> = Vec::new();
        let is_concatenated = is_cpu(device);
        module.visit(&mut |_, param| {
            let rate = if matches!(param, ParamMut::Matrix(_)) { config.weight_decay as f32 } else { 0.0 };
            if decays.is_empty() || !is_concatenated {
                decays.push(WeightDecay::default());
            }
            let last = decays.last_mut().expect("a group was pushed");
            last.push(param.num_elements(), rate);
        });
        let zeros = |size| device.memory_persistent_allocations(size, |size| Tensor::zeros([size], device));
        let group = |decay: WeightDecay| ParamGroup { moments: [(); 2].map(|()| zeros(decay.size())), decay };
        let groups = decays.into_iter().map(group).collect();
        Self { config: config.clone(), groups, num_steps: 0 }
    }

    /// Clips `gradient`, and updates the parameters of `module` by one step.
    pub fn update(&mut self, module: &mut impl Parameters, gradient: Gradient, learning_rate: f64) {
        self.num_steps += 1;
        let step = AdamWStep {
            learning_rate,
            betas: self.config.betas,
            epsilon: self.config.epsilon,
            max_gradient_norm: self.config.clip,
            steps: self.num_steps,
        };
        let Gradient { groups, norm } = gradient;
        let mut groups = self.groups.iter_mut().zip(groups);
        let mut update = |weights: Tensor<1>| {
            let (group, gradient) = groups.next().expect("gradient and moments must have the same groups");
            group.update(weights, gradient, &norm, &step)
        };
        match is_cpu(&norm.device()) {
            true => {
                let weights = update(concat_parameters(module));
                set_parameters(module, weights);
            }
            false => module.visit(&mut |_, mut param| param.update(&mut update)),
        }
    }

    /// Adds the moments to `tensors`. `names` holds a single name, or one name for each layer if the module
    /// is a stack of layers. The moments of each layer are stored under the layer's name.
    pub fn store_moments(&self, tensors: &mut NamedTensors, names: &[String]) {
        for (index, moment) in MOMENT_NAMES.iter().enumerate() {
            let read = |group: &ParamGroup| -> Vec<f32> {
                group.moments[index].to_data().try_to_vec().expect("moments are f32")
            };
            let groups: Vec<Vec<f32>> = self.groups.iter().map(read).collect();
            for (layer, name) in names.iter().enumerate() {
                let of_layer = |group: &Vec<f32>| {
                    let size = group.len() / names.len();
                    group[layer * size..(layer + 1) * size].to_vec()
                };
                let values: Vec<f32> = groups.iter().flat_map(of_layer).collect();
                tensors.insert(&format!("{name}.{moment}"), vec![values.len()], values);
            }
        }
    }

    /// Reads the moments that [`AdamW::store_moments`] added to a checkpoint after `num_steps` steps, under
    /// the same `names`.
    ///
    /// # Errors
    /// Fails when the checkpoint lacks a moment, or a moment has another size.
    pub fn restore_moments(
        &mut self,
        checkpoint: &mut SafetensorsReader,
        names: &[String],
        num_steps: u64,
    ) -> Result<()> {
        let params: &mut dyn ParamSource = checkpoint;
        let size = self.groups.iter().map(|group| group.decay.size() / names.len()).sum();
        for (index, moment) in MOMENT_NAMES.iter().enumerate() {
            let mut read =
                |name| params.vector(&format!("{name}.{moment}"), size, Initializer::Constant(0.0));
            let layers = names.iter().map(&mut read).collect::<Result<Vec<_>>>()?;
            let mut start = 0;
            for group in &mut self.groups {
                let group_size = group.decay.size() / names.len();
                let parts = layers.iter().map(|layer| layer.clone().narrow(0, start, group_size));
                group.moments[index] = Tensor::cat(parts.collect(), 0);
                start += group_size;
            }
        }
        self.num_steps = num_steps;
        Ok(())
    }
}

const MOMENT_NAMES: [&str; 2] = ["first", "second"];

impl ParamGroup {
    /// Updates the moments, and returns the weights after the step.
    fn update(
        &mut self,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        norm: &Tensor<1>,
        step: &AdamWStep,
    ) -> Tensor<1> {
        // The moments are moved out of `self`, so that the operation has the only reference to them and can
        // write in place.
        let placeholders = [(); 2].map(|()| Tensor::empty([0], &weights.device()));
        let [first, second] = replace(&mut self.moments, placeholders);
        let [weights, first, second] =
            adamw_step([weights, first, second], gradient, norm.clone(), &self.decay, step);
        self.moments = [first, second];
        weights
    }
}

/// Concatenates all parameters in the order of [`Parameters::visit`], `[n]`.
fn concat_parameters(module: &mut impl Parameters) -> Tensor<1> {
    let mut rows = Vec::new();
    module.visit(&mut |_, param| rows.push(param.flat()));
    Tensor::cat(rows, 0)
}

/// Sets all parameters from their concatenation `flat`, `[n]`.
fn set_parameters(module: &mut impl Parameters, flat: Tensor<1>) {
    let mut start = 0;
    module.visit(&mut |_, mut param| {
        let size = param.num_elements();
        param.set(flat.clone().narrow(0, start, size));
        start += size;
    });
}
