//! The training state of one variant's twins: the twins, their losses, and their checkpoint.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_model::{
    Decoder, Mixer, NamedTensors, ParamMut, Parameters, RandomParams, TwinInit, TwinVariant, Twins,
    count_parameters,
};
use dtr_ops::is_cpu;

use super::stack_sizes::{layers_per_stack, split_into_stacks};
use super::stack_trainer::{StackTrainer, StepLoss, layer_divergence_error};
use super::{DistilConfig, DistilResult, DistilledTwins, LayerCurvePoint, LayerLoss};
use crate::algorithms::training::{EncodedCheckpoint, read_checkpoint};

/// The approximate number of points of a loss curve. The point after the first step is not counted.
const CURVE_POINTS: u64 = 64;

/// The number of steps at the end of training over which the final loss is averaged.
const FINAL_STEPS: usize = 8;

/// The factor by which a diverged loss exceeds its reference. The reference of a layer is the larger of two
/// values: the layer's initial loss, and the variance of the layer's attention output.
const DIVERGENCE_FACTOR: f64 = 1e3;

/// The twins of one variant for successive layers of a base, in training.
pub struct Student {
    trainers: Vec<StackTrainer>,
    progress: StudentProgress,
    config: DistilConfig,
    checkpoint: CheckpointFile,
    failure: Option<Error>,
}

/// The contents of a checkpoint other than tensors.
#[derive(Clone, Default, Serialize, Deserialize)]
struct StudentProgress {
    num_steps: u64,
    /// Each layer's loss before the first step.
    initial: Vec<f64>,
    /// The losses of the last [`FINAL_STEPS`] steps, `[step][layer]`. A layer's final loss is the mean of its
    /// losses in these steps, because the loss of a single step is noisy.
    recent: Vec<Vec<f64>>,
    /// The variance of each layer's attention output in the first batch.
    output_variance: Vec<f64>,
    curve: Vec<LayerCurvePoint>,
}

impl Student {
    /// Creates the student of `variant` for `layers` of `base`. Resumes from `checkpoint` if its file exists.
    ///
    /// # Errors
    /// Fails if the variant does not fit the base, or the checkpoint cannot be read.
    pub fn new_or_resume(
        name: &str,
        variant: &TwinVariant,
        base: &Decoder,
        layers: Range<usize>,
        config: &DistilConfig,
        checkpoint: &CheckpointFile,
    ) -> Result<Self> {
        let mut random = RandomParams::new(config.seed.child("twins"), &base.device());
        let twins = layers.clone().map(|layer| Twins::new_layer(variant, base, layer, &mut random));
        let twins = twins.collect::<Result<_>>()?;
        let mut student = Self::from_twins(name, twins, layers.start, variant.init, config, checkpoint, base);
        student.resume(variant, base)?;
        Ok(student)
    }

    /// Creates a student at step 0 from `twins`, which belong to `first_layer` and the layers after
    /// `first_layer`.
    pub fn from_twins(
        name: &str,
        twins: Vec<Mixer>,
        first_layer: usize,
        init: TwinInit,
        config: &DistilConfig,
        checkpoint: &CheckpointFile,
        base: &Decoder,
    ) -> Self {
        let max_layers = match is_cpu(&base.device()) {
            true => 1,
            false => {
                let batch_tokens = config.batch_size * config.sequence_length;
                layers_per_stack(batch_tokens, base.config.hidden_size)
            }
        };
        let layers = first_layer..first_layer + twins.len();
        let mut twins = twins.into_iter();
        let trainer = |layers: Range<usize>| {
            let stack = twins.by_ref().take(layers.len()).collect();
            StackTrainer::new(layers.start, name, init, stack, &config.optimizer, base)
        };
        Self {
            trainers: split_into_stacks(layers, max_layers).into_iter().map(trainer).collect(),
            progress: StudentProgress::default(),
            config: config.clone(),
            checkpoint: checkpoint.clone(),
            failure: None,
        }
    }

    /// Returns the layers whose twins this student trains.
    pub(super) fn layers(&self) -> Range<usize> {
        let first = self.trainers.first().map_or(0, |trainer| trainer.layers.start);
        let last = self.trainers.last().map_or(0, |trainer| trainer.layers.end);
        first..last
    }

    /// Returns the variant's name.
    pub fn variant_name(&self) -> &str {
        self.trainers.first().map_or("", |trainer| &trainer.variant)
    }

    /// Returns the number of optimizer steps done so far.
    pub fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    /// Returns whether `step` is this student's next step. A student that has failed has no next step.
    pub(super) fn is_next_step(&self, step: u64) -> bool {
        self.failure.is_none() && self.progress.num_steps == step
    }

    /// Returns the trainers, in the order of their layers.
    pub(super) fn stack_trainers(&mut self) -> &mut [StackTrainer] {
        &mut self.trainers
    }

    /// Records the losses of a step. If a loss is an error or has diverged, records the error instead.
    pub(super) fn finish_step(&mut self, losses: Vec<Result<StepLoss>>) {
        let recorded = losses
            .into_iter()
            .collect::<Result<Vec<StepLoss>>>()
            .and_then(|losses| self.ensure_converging(&losses).map(|()| losses));
        match recorded {
            Ok(losses) => self.record_losses(&losses),
            Err(error) => self.failure = Some(error),
        }
    }

    fn record_losses(&mut self, losses: &[StepLoss]) {
        let schedule = self.config.training_schedule();
        let progress = &mut self.progress;
        let values: Vec<f64> = losses.iter().map(|loss| loss.loss).collect();
        if progress.num_steps == 0 {
            progress.initial = values.clone();
            progress.output_variance = losses.iter().filter_map(|loss| loss.output_variance).collect();
        }
        progress.num_steps += 1;
        let step = progress.num_steps;
        if step == 1 || schedule.is_curve_point(step, CURVE_POINTS) {
            let tokens = step * schedule.tokens_per_step();
            progress.curve.push(LayerCurvePoint { step, tokens, losses: values.clone() });
        }
        progress.recent.push(values);
        let surplus = progress.recent.len().saturating_sub(FINAL_STEPS);
        progress.recent.drain(..surplus);
    }

    /// Checks that no layer's loss has diverged.
    fn ensure_converging(&self, losses: &[StepLoss]) -> Result<()> {
        let StudentProgress { num_steps, initial, output_variance, .. } = &self.progress;
        let references =
            initial.iter().zip(output_variance).map(|(initial, variance)| initial.max(*variance));
        for ((layer, loss), reference) in self.layers().zip(losses).zip(references) {
            let bound = DIVERGENCE_FACTOR * reference;
            if bound > 0.0 && loss.loss > bound {
                return Err(layer_divergence_error(self.variant_name(), layer, loss.loss, bound, *num_steps));
            }
        }
        Ok(())
    }

    /// Ends the training and returns the twins.
    ///
    /// # Errors
    /// Fails with the error that ended the training early, if there was one.
    pub fn finish(mut self) -> Result<DistilledTwins> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let StudentProgress { num_steps, initial, recent, output_variance, curve, .. } = &self.progress;
        let mean_recent =
            |layer: usize| recent.iter().map(|losses| losses[layer]).sum::<f64>() / recent.len() as f64;
        let first_layer = self.layers().start;
        let layer_loss = |layer: usize| LayerLoss {
            layer: (first_layer + layer) as u32,
            initial: initial[layer],
            r#final: mean_recent(layer),
            output_variance: output_variance[layer],
        };
        let result = DistilResult {
            tokens: num_steps * self.config.training_schedule().tokens_per_step(),
            steps: *num_steps,
            layers: (0..initial.len()).map(layer_loss).collect(),
            curve: curve.clone(),
            num_parameters: self.trainers.iter_mut().map(|one| count_parameters(&mut one.stack)).sum(),
        };
        Ok(DistilledTwins { result, tensors: self.tensors() })
    }

    /// Returns a copy of the twins.
    pub fn twins(&self) -> Twins {
        Twins { layers: self.trainers.iter().flat_map(StackTrainer::twins).collect() }
    }

    fn tensors(&self) -> NamedTensors {
        let twins = self.layers().zip(self.twins().layers);
        NamedTensors::from_module(&mut NumberedTwins(twins.collect()))
    }

    /// Returns a checkpoint of twins, optimizer moments and progress. Returns `None` after a failure, so that
    /// the previous checkpoint stays.
    ///
    /// # Errors
    /// Fails if the checkpoint cannot be encoded.
    pub fn encode_checkpoint(&self) -> Result<Option<EncodedCheckpoint>> {
        if self.failure.is_some() {
            return Ok(None);
        }
        let mut tensors = self.tensors();
        for trainer in &self.trainers {
            trainer.store_moments(&mut tensors);
        }
        EncodedCheckpoint::new(&self.checkpoint, tensors, &self.progress).map(Some)
    }

    /// Resumes from the checkpoint, if it exists.
    fn resume(&mut self, variant: &TwinVariant, base: &Decoder) -> Result<()> {
        let saved = read_checkpoint::<StudentProgress>(&self.checkpoint, &base.device())?;
        let Some((mut checkpoint, progress)) = saved else { return Ok(()) };
        for trainer in &mut self.trainers {
            trainer.restore(variant, base, &mut checkpoint, progress.num_steps)?;
        }
        self.progress = progress;
        checkpoint.ensure_all_read()
    }
}

/// Twins with their layer numbers. The names of their tensors contain these numbers.
struct NumberedTwins(Vec<(usize, Mixer)>);

impl Parameters for NumberedTwins {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        for (layer, twin) in &mut self.0 {
            twin.visit(&mut |part, param| visitor(&format!("{}.{part}", Twins::layer_name(*layer)), param));
        }
    }
}
