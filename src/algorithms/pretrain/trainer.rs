//! The trainer of a base model.

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::optimizer::{AdamW, Gradient};
use dtr_model::{
    Decoder, DecoderConfig, DecoderShape, NamedTensors, RandomParams, Tokenizer, count_parameters,
};

use super::loss::loss_and_gradient;
use super::{LossPoint, PretrainConfig, PretrainResult};
use crate::algorithms::training::{
    Training, TrainingSchedule, ensure_finite, read_checkpoint, run_training, write_checkpoint,
};
use crate::data::read_base_tokenizer;
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;

/// The number of points of the loss curve.
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
}

/// The contents of a checkpoint other than tensors.
#[derive(Clone, Default, Serialize, Deserialize)]
struct PretrainProgress {
    num_steps: u64,
    /// The sum and the number of the losses since the last point of the curve.
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
            optimizer.restore(&mut stored, &[MOMENTS_NAME.to_owned()], progress.num_steps)?;
            stored.ensure_all_read()?;
        }
        Ok(Self { decoder, optimizer, progress, config: config.clone(), checkpoint: checkpoint.clone() })
    }

    /// Returns the number of optimizer steps done so far.
    pub fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    /// Trains to the end of the token budget.
    ///
    /// # Errors
    /// Fails if the loss or the gradient is not finite, sequences cannot be read, a checkpoint cannot be
    /// written, or the user asked to stop.
    pub fn run(&mut self, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()> {
        let schedule = self.config.schedule();
        run_training(self, schedule, sequences, observer)
    }

    /// Ends the training and returns its result and the base.
    pub fn finish(mut self) -> (PretrainResult, Decoder) {
        let PretrainProgress { num_steps, curve, .. } = self.progress;
        let result = PretrainResult {
            num_parameters: count_parameters(&mut self.decoder),
            tokens: num_steps * self.config.schedule().tokens_per_step(),
            steps: num_steps,
            final_loss: curve.last().map_or(0.0, |point| point.loss),
            curve,
        };
        (result, self.decoder)
    }

    /// Does one optimizer step and returns the mean loss over the tokens of `batch`.
    fn optimize(&mut self, batch: &[Vec<u32>], schedule: TrainingSchedule) -> Result<f64> {
        let step = self.progress.num_steps;
        let micro_batches: Vec<(f64, Vec<Tensor<1>>)> = batch
            .par_chunks(self.config.micro_batch_size)
            .map(|rows| loss_and_gradient(&self.decoder, rows))
            .collect();
        let count = micro_batches.len() as f64;
        let loss = micro_batches.iter().map(|(loss, _)| loss).sum::<f64>() / count;
        // Gradients are added in order, so that the sum does not depend on the number of threads.
        let add = |sum: Vec<Tensor<1>>, other| sum.into_iter().zip(other).map(|(a, b)| a + b).collect();
        let sum = micro_batches.into_iter().map(|(_, gradient)| gradient).reduce(add);
        let mean = sum.expect("a batch has a micro-batch").into_iter().map(|part| part / count);
        let gradient = Gradient::new(mean.collect());
        for (quantity, value) in [("loss", loss), ("gradient norm", gradient.read_norm())] {
            ensure_finite(format_args!("the pretraining {quantity}"), value, step, "pretrain")?;
        }
        let rate = self.config.optimizer.learning_rate_at(step, schedule.num_steps);
        self.optimizer.update(&mut self.decoder, gradient, rate);
        self.progress.num_steps += 1;
        Ok(loss)
    }

    fn record_loss(&mut self, loss: f64, schedule: TrainingSchedule, observer: &dyn Observer) {
        let progress = &mut self.progress;
        progress.pending = (progress.pending.0 + loss, progress.pending.1 + 1);
        let step = progress.num_steps;
        if !schedule.is_curve_point(step, CURVE_POINTS) {
            return;
        }
        let mean = progress.pending.0 / progress.pending.1 as f64;
        progress.pending = (0.0, 0);
        progress.curve.push(LossPoint { step, tokens: step * schedule.tokens_per_step(), loss: mean });
        if progress.curve.len().is_multiple_of(POINTS_PER_MESSAGE) {
            observer.message(&format!("step {step} of {}: loss {mean:.4}", schedule.num_steps));
        }
    }
}

impl Training for Trainer {
    fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    fn train_step(&mut self, step: u64, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()> {
        let schedule = self.config.schedule();
        let batch = sequences.batch(step, schedule.batch_size)?;
        let loss = self.optimize(&batch, schedule)?;
        self.record_loss(loss, schedule, observer);
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let mut tensors = NamedTensors::from_module(&mut self.decoder);
        self.optimizer.store(&mut tensors, &[MOMENTS_NAME.to_owned()]);
        write_checkpoint(&self.checkpoint, tensors, &self.progress)
    }
}
