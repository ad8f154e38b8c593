//! A decoder in training: its trained parameters in f32, and their optimizers.

use burn::tensor::{DType, Tensor};

use super::{ParameterGroup, TrainedParts};
use dtr_core::error::{Error, Result};
use dtr_model::optimizer::{AdamW, AdamWConfig, Gradient};
use dtr_model::{
    Decoder, NamedTensors, Parameters, SafetensorsReader, SelectedParameters, count_parameters,
    read_parameters,
};

/// A decoder with some trained parameters. Each group of trained parameters has its own learning rate. The
/// gradient is clipped by its norm over all groups.
pub struct TunedDecoder {
    decoder: Decoder,
    groups: Vec<TrainedGroup>,
}

/// A group of trained parameters and its optimizer.
struct TrainedGroup {
    group: ParameterGroup,
    /// The settings of the optimizer, with the learning rate of the group.
    config: AdamWConfig,
    optimizer: AdamW,
}

impl TunedDecoder {
    /// Creates an optimizer for each group of parameters that `train` selects. Casts these parameters to f32,
    /// because small updates would vanish when bf16 weights are rounded.
    ///
    /// # Errors
    /// Fails if `train` selects no parameter of `decoder`.
    pub fn new(mut decoder: Decoder, config: &AdamWConfig, train: &TrainedParts) -> Result<Self> {
        let device = decoder.device();
        let mut groups = Vec::new();
        for group in ParameterGroup::ALL {
            let Some(learning_rate) = train.learning_rate(group, config.learning_rate) else { continue };
            let in_group = [group];
            let mut selected = select(&mut decoder, &in_group);
            selected.visit(&mut |_, mut param| param.cast(DType::F32));
            if count_parameters(&mut selected) > 0 {
                let config = AdamWConfig { learning_rate, ..config.clone() };
                let optimizer = AdamW::new(&config, &mut selected, &device);
                groups.push(TrainedGroup { group, config, optimizer });
            }
        }
        match groups.is_empty() {
            true => Err(Error::failed("cannot train the hybrid: it has no linear block")
                .hint("choose a hybrid with a replaced layer")),
            false => Ok(Self { decoder, groups }),
        }
    }

    /// Returns the decoder. Its trained parameters are in f32.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Returns whether the parameter `name` is trained.
    pub fn is_trained(&self, name: &str) -> bool {
        let group = ParameterGroup::of(name);
        self.groups.iter().any(|trained| trained.group == group)
    }

    /// Returns the number of trained parameters.
    pub fn num_trained(&mut self) -> u64 {
        let groups = self.trained_groups();
        count_parameters(&mut select(&mut self.decoder, &groups))
    }

    /// Updates the trained parameters by one step of the optimizer: step `step` (counted from 0) of
    /// `num_steps`. `gradient` holds a vector for each trained parameter, in the order in which the decoder
    /// visits its parameters. Returns the norm of the gradient before clipping, `[1]`.
    pub fn update(&mut self, gradient: Vec<Tensor<1>>, step: u64, num_steps: u64) -> Tensor<1> {
        let groups = self.trained_groups();
        let mut rows: Vec<Vec<Tensor<1>>> = vec![Vec::new(); groups.len()];
        let mut gradient = gradient.into_iter();
        select(&mut self.decoder, &groups).visit(&mut |name, _| {
            let group = ParameterGroup::of(name);
            let index = groups.iter().position(|trained| *trained == group).expect("the group is trained");
            rows[index].push(gradient.next().expect("each trained parameter has a gradient"));
        });
        let gradients = Gradient::of_modules(rows);
        let norm = gradients[0].norm();
        for (trained, gradient) in self.groups.iter_mut().zip(gradients) {
            let rate = trained.config.learning_rate_at(step, num_steps);
            let in_group = [trained.group];
            trained.optimizer.update(&mut select(&mut self.decoder, &in_group), gradient, rate);
        }
        norm
    }

    /// Returns a copy of the trained parameters.
    pub fn trained_tensors(&mut self) -> NamedTensors {
        let groups = self.trained_groups();
        NamedTensors::from_module(&mut select(&mut self.decoder, &groups))
    }

    /// Returns the trained parameters and the moments of their optimizers, for a checkpoint.
    pub fn checkpoint_tensors(&mut self) -> NamedTensors {
        let mut tensors = self.trained_tensors();
        for trained in &self.groups {
            trained.optimizer.store_moments(&mut tensors, &[moments_name(trained.group)]);
        }
        tensors
    }

    /// Restores the tensors that [`TunedDecoder::checkpoint_tensors`] returned after `num_steps` steps.
    ///
    /// # Errors
    /// Fails if the checkpoint lacks a tensor, or holds a tensor that is not restored.
    pub fn restore(&mut self, mut checkpoint: SafetensorsReader, num_steps: u64) -> Result<()> {
        let groups = self.trained_groups();
        read_parameters(&mut select(&mut self.decoder, &groups), &mut checkpoint)?;
        for trained in &mut self.groups {
            let names = [moments_name(trained.group)];
            trained.optimizer.restore_moments(&mut checkpoint, &names, num_steps)?;
        }
        checkpoint.ensure_all_read()
    }

    fn trained_groups(&self) -> Vec<ParameterGroup> {
        self.groups.iter().map(|trained| trained.group).collect()
    }
}

/// Returns the parameters of `decoder` that belong to `groups`.
fn select<'a>(
    decoder: &'a mut Decoder,
    groups: &'a [ParameterGroup],
) -> SelectedParameters<'a, Decoder, impl Fn(&str) -> bool + 'a> {
    SelectedParameters {
        module: decoder,
        is_selected: move |name: &str| groups.contains(&ParameterGroup::of(name)),
    }
}

fn moments_name(group: ParameterGroup) -> String {
    format!("adamw.{}", group.name())
}
