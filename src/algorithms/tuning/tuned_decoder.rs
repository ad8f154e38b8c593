//! A decoder in training: its trained parameters in f32, and their optimizers.

use burn::tensor::{DType, Tensor};

use super::{GroupRate, TrainableDecoder};
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
    rate: GroupRate,
    /// The settings of the optimizer, with the learning rate of the group.
    config: AdamWConfig,
    optimizer: AdamW,
}

impl TunedDecoder {
    /// Creates an optimizer for each of `rates` whose groups have parameters. Casts these parameters to f32,
    /// because small updates would vanish when bf16 weights are rounded. The learning rate of `config` has no
    /// effect.
    ///
    /// # Errors
    /// Fails if `decoder` has no parameter of the groups.
    pub fn new(mut decoder: Decoder, config: &AdamWConfig, rates: Vec<GroupRate>) -> Result<Self> {
        let device = decoder.device();
        let mut groups = Vec::new();
        for rate in rates {
            let in_group = |name: &str| rate.contains(name);
            let mut selected = SelectedParameters { module: &mut decoder, is_selected: in_group };
            selected.visit(&mut |_, mut param| param.cast(DType::F32));
            if count_parameters(&mut selected) > 0 {
                let config = AdamWConfig { learning_rate: rate.learning_rate, ..config.clone() };
                let optimizer = AdamW::new(&config, &mut selected, &device);
                groups.push(TrainedGroup { rate, config, optimizer });
            }
        }
        match groups.is_empty() {
            true => Err(Error::failed("cannot train the hybrid: it has no linear block")
                .hint("choose a hybrid with a replaced layer")),
            false => Ok(Self { decoder, groups }),
        }
    }

    /// Returns the trained parameters.
    fn trained(&mut self) -> SelectedParameters<'_, Decoder, impl Fn(&str) -> bool> {
        let groups = &self.groups;
        let is_selected = move |name: &str| groups.iter().any(|group| group.rate.contains(name));
        SelectedParameters { module: &mut self.decoder, is_selected }
    }
}

impl TrainableDecoder for TunedDecoder {
    fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn is_trained(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.rate.contains(name))
    }

    fn num_trained(&mut self) -> u64 {
        count_parameters(&mut self.trained())
    }

    fn update(&mut self, gradient: Vec<Tensor<1>>, step: u64, num_steps: u64) -> Tensor<1> {
        let mut rows: Vec<Vec<Tensor<1>>> = vec![Vec::new(); self.groups.len()];
        let mut gradient = gradient.into_iter();
        let groups = &self.groups;
        self.decoder.visit(&mut |name, _| {
            if let Some(index) = groups.iter().position(|group| group.rate.contains(name)) {
                rows[index].push(gradient.next().expect("each trained parameter has a gradient"));
            }
        });
        let gradients = Gradient::of_modules(rows);
        let norm = gradients[0].norm();
        for (TrainedGroup { rate, config, optimizer }, gradient) in self.groups.iter_mut().zip(gradients) {
            let in_group = |name: &str| rate.contains(name);
            let mut selected = SelectedParameters { module: &mut self.decoder, is_selected: in_group };
            optimizer.update(&mut selected, gradient, config.learning_rate_at(step, num_steps));
        }
        norm
    }

    fn reset_optimizer(&mut self) {
        let device = self.decoder.device();
        for TrainedGroup { rate, config, optimizer } in &mut self.groups {
            let in_group = |name: &str| rate.contains(name);
            let mut selected = SelectedParameters { module: &mut self.decoder, is_selected: in_group };
            *optimizer = AdamW::new(config, &mut selected, &device);
        }
    }

    fn trained_tensors(&mut self) -> NamedTensors {
        NamedTensors::from_module(&mut self.trained())
    }

    fn checkpoint_tensors(&mut self) -> NamedTensors {
        let mut tensors = self.trained_tensors();
        for TrainedGroup { rate, optimizer, .. } in &self.groups {
            optimizer.store_moments(&mut tensors, &[moments_name(rate)]);
        }
        tensors
    }

    fn restore(&mut self, checkpoint: &mut SafetensorsReader, num_steps: u64) -> Result<()> {
        read_parameters(&mut self.trained(), checkpoint)?;
        for TrainedGroup { rate, optimizer, .. } in &mut self.groups {
            optimizer.restore_moments(checkpoint, &[moments_name(rate)], num_steps)?;
        }
        Ok(())
    }
}

fn moments_name(rate: &GroupRate) -> String {
    format!("adamw.{}", rate.name)
}
