//! The trainer of a base model.

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::optimizer::{AdamW, Gradient};
use dtr_model::{
    Decoder, DecoderConfig, DecoderShape, NamedTensors, RandomParams, Tokenizer, count_parameters,
};
use dtr_ops::{is_cpu, run_on_device_thread};

use super::loss::loss_and_gradient;
use super::{LossPoint, PretrainConfig, PretrainResult};
use crate::algorithms::parallel::map_in_parallel_on_cpu;
use crate::algorithms::training::{
    EncodedCheckpoint, Training, ensure_finite, read_checkpoint, run_training,
};
use crate::data::read_base_tokenizer;
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;

/// The approximate number of points of the loss curve.
const CURVE_POINTS: u64 = 200;

/// The number of points of the loss curve between two progress messages.
const POINTS_PER_MESSAGE: usize = 10;

/// The name of the optimizer's moments in a checkpoint.
const MOMENTS_NAME: &str = "adamw";

/// A base in training, with its optimizer and its loss curve.
pub struct Trainer {
    decoder: Decoder,
    optimizer: AdamW,
    progress: PretrainProgress,
    config: PretrainConfig,
    checkpoint: CheckpointFile,
    /// The last step, if its losses are not read yet. The trainer reads the losses of a step only after the
    /// next step is enqueued, so that a GPU stays busy.
    unread: Option<UnreadStep>,
}

/// An optimizer step whose losses are still on the device.
struct UnreadStep {
    /// The number of the step, counted from 0.
    step: u64,
    /// The loss of each micro-batch, `[1]`.
    losses: Vec<Tensor<1>>,
    /// The norm of the gradient, `[1]`.
    norm: Tensor<1>,
}

/// The contents of a checkpoint other than tensors.
#[derive(Clone, Default, Serialize, Deserialize)]
struct PretrainProgress {
    num_steps: u64,
    /// The sum of the losses since the last point of the curve, and the number of these losses.
    pending: (f64, u64),
    curve: Vec<LossPoint>,
}

/// Returns the configuration and the tokenizer of a base that is pretrained with `config`. The tokenizer
/// determines the size of the vocabulary. The maximum number of positions is the sequence length.
///
/// # Errors
/// Fails if the tokenizer cannot be read.
pub fn base_config_and_tokenizer(
    architecture: &DecoderShape,
    config: &PretrainConfig,
) -> Result<(DecoderConfig, Tokenizer)> {
    let tokenizer = read_base_tokenizer(architecture)?;
    Ok((architecture.llama_config(tokenizer.vocab_size(), config.sequence_length), tokenizer))
}

impl Trainer {
    /// Creates the trainer of a new base. Resumes from `checkpoint` if its file exists.
    ///
    /// # Errors
    /// Fails if the checkpoint cannot be read.
    pub fn new(
        model: &DecoderConfig,
        config: &PretrainConfig,
        checkpoint: &CheckpointFile,
        device: &Device,
    ) -> Result<Self> {
        let mut decoder = Decoder::new(model, &mut RandomParams::new(config.seed.child("base"), device))?;
        let mut optimizer = AdamW::new(&config.optimizer, &mut decoder, device);
        let mut progress = PretrainProgress::default();
        if let Some((mut stored, stored_progress)) = read_checkpoint(checkpoint, device)? {
            progress = stored_progress;
            decoder = Decoder::new(model, &mut stored)?;
            optimizer.restore_moments(&mut stored, &[MOMENTS_NAME.to_owned()], progress.num_steps)?;
            stored.ensure_all_read()?;
        }
        let (config, checkpoint) = (config.clone(), checkpoint.clone());
        Ok(Self { decoder, optimizer, progress, config, checkpoint, unread: None })
    }

    /// Returns the number of optimizer steps done so far.
    pub fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    /// Trains until the token budget is spent.
    ///
    /// # Errors
    /// Fails if the loss or the gradient is not finite, or if the user asked to stop. Fails if sequences
    /// cannot be read, or if a checkpoint cannot be written.
    pub fn run(&mut self, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()> {
        let schedule = self.config.training_schedule();
        run_training(self, schedule, sequences, observer)?;
        self.read_last_step(observer)
    }

    /// Ends the training and returns its result and the base.
    pub fn finish(mut self) -> (PretrainResult, Decoder) {
        let PretrainProgress { num_steps, curve, .. } = self.progress;
        let result = PretrainResult {
            num_parameters: count_parameters(&mut self.decoder),
            tokens: num_steps * self.config.training_schedule().tokens_per_step(),
            steps: num_steps,
            final_loss: curve.last().map_or(0.0, |point| point.loss),
            curve,
        };
        (result, self.decoder)
    }

    /// Does one optimizer step on `batch`.
    fn optimize(&mut self, batch: &[Vec<u32>], step: u64) -> Result<UnreadStep> {
        let dtype = if self.config.mixed_precision { DType::BF16 } else { DType::F32 };
        let decoder = &self.decoder;
        let micro_batches = batch.chunks(self.config.micro_batch_size).collect();
        let micro_batches = map_in_parallel_on_cpu(is_cpu(&decoder.device()), micro_batches, |rows| {
            Ok(loss_and_gradient(decoder, rows, dtype))
        })?;
        let (losses, gradients): (Vec<_>, Vec<_>) = micro_batches.into_iter().unzip();
        let rate = self.config.optimizer.learning_rate_at(step, self.config.training_schedule().num_steps);
        let gradient = Gradient::new(mean_of(gradients));
        let norm = gradient.norm();
        self.optimizer.update(&mut self.decoder, gradient, rate);
        Ok(UnreadStep { step, losses, norm })
    }

    /// Waits until the device has finished the last step. Records the loss of this step.
    fn read_last_step(&mut self, observer: &dyn Observer) -> Result<()> {
        match self.unread.take() {
            Some(unread) => self.record_loss(&unread, observer),
            None => Ok(()),
        }
    }

    fn record_loss(&mut self, unread: &UnreadStep, observer: &dyn Observer) -> Result<()> {
        let read = |x: &Tensor<1>| f64::from(x.clone().into_scalar::<f32>());
        let loss = unread.losses.iter().map(read).sum::<f64>() / unread.losses.len() as f64;
        for (quantity, value) in [("loss", loss), ("gradient norm", read(&unread.norm))] {
            ensure_finite(format_args!("the pretraining {quantity}"), value, unread.step, "pretrain")?;
        }
        let schedule = self.config.training_schedule();
        let progress = &mut self.progress;
        progress.pending = (progress.pending.0 + loss, progress.pending.1 + 1);
        let steps = unread.step + 1;
        if !schedule.is_curve_point(steps, CURVE_POINTS) {
            return Ok(());
        }
        let mean = progress.pending.0 / progress.pending.1 as f64;
        progress.pending = (0.0, 0);
        let tokens = steps * schedule.tokens_per_step();
        progress.curve.push(LossPoint { step: steps, tokens, loss: mean });
        if progress.curve.len().is_multiple_of(POINTS_PER_MESSAGE) {
            observer.message(&format!("step {steps} of {}: loss {mean:.4}", schedule.num_steps));
        }
        Ok(())
    }
}

/// Returns the mean of the micro-batches' gradients. Adds the gradients in order, so that the sum does not
/// depend on the number of threads.
fn mean_of(gradients: Vec<Vec<Tensor<1>>>) -> Vec<Tensor<1>> {
    let count = gradients.len() as f64;
    let add = |sum: Vec<Tensor<1>>, other| sum.into_iter().zip(other).map(|(a, b)| a + b).collect();
    let sum = gradients.into_iter().reduce(add).expect("a batch has a micro-batch");
    if count == 1.0 { sum } else { sum.into_iter().map(|part| part / count).collect() }
}

impl Training for Trainer {
    type Data = TokenSequences;

    fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    fn train_step(&mut self, step: u64, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()> {
        let batch = sequences.batch(step, self.config.batch_size)?;
        let device = self.decoder.device();
        let unread = run_on_device_thread(&device, || self.optimize(&batch, step))?;
        self.progress.num_steps = step + 1;
        match self.unread.replace(unread) {
            Some(previous) => self.record_loss(&previous, observer),
            None => Ok(()),
        }
    }

    fn encode_checkpoints(&mut self, observer: &dyn Observer) -> Result<Vec<EncodedCheckpoint>> {
        self.read_last_step(observer)?;
        let mut tensors = NamedTensors::from_module(&mut self.decoder);
        self.optimizer.store_moments(&mut tensors, &[MOMENTS_NAME.to_owned()]);
        Ok(vec![EncodedCheckpoint::new(&self.checkpoint, tensors, &self.progress)?])
    }
}
