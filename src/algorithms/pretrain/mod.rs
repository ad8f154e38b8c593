//! Training a base from nothing by next-token prediction, for the bundled model.

mod config;
mod result;

use std::time::Instant;

pub use config::PretrainConfig;
pub use result::{LossPoint, PretrainResult};

use serde::{Deserialize, Serialize};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::algorithms::saving::Saving;
use crate::data::sequences::{Extent, Sequences};
use crate::observer::Observer;
use dtr_core::checkpoint::Sealed;
use dtr_core::error::{Error, Result};
use dtr_model::Architecture;
use dtr_model::optim::{AdamW, Gradient, laid_out, learning_rate};
use dtr_model::{Checkpoint, Config, Decoder, Hybrid, Random, Tensors, Tokenizer, Tracked, count_parameters};
use dtr_ops::cross_entropy;

/// Points kept of the loss curve.
const CURVE_POINTS: u64 = 200;

/// How many steps a token budget makes: whole batches, at least one.
pub fn num_steps(recipe: &PretrainConfig) -> u64 {
    (recipe.token_budget.0 / tokens_per_step(recipe)).max(1)
}

/// The sequences that a recipe asks for.
pub fn extent(recipe: &PretrainConfig) -> Extent {
    Extent { length: recipe.sequence_length, count: num_steps(recipe) * recipe.batch_size as u64 }
}

fn tokens_per_step(recipe: &PretrainConfig) -> u64 {
    (recipe.batch_size * recipe.sequence_length) as u64
}

/// A base in training.
pub struct Trainer {
    decoder: Decoder,
    optimizer: AdamW,
    progress: Progress,
    recipe: PretrainConfig,
    checkpoint: Sealed,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Progress {
    steps: u64,
    /// Seconds of work.
    seconds: f64,
    /// Sum and count of losses since the curve's last point.
    pending: (f64, u64),
    curve: Vec<LossPoint>,
}

/// The Llama configuration of an architecture over a tokenizer's vocabulary.
pub fn config(architecture: &Architecture, tokenizer: &Tokenizer, recipe: &PretrainConfig) -> Config {
    Config::llama(architecture, tokenizer.vocab_size(), recipe.sequence_length)
}

impl Trainer {
    /// A fresh base, or the one whose checkpoint lies at `checkpoint`.
    pub fn new(
        config: &Config,
        recipe: &PretrainConfig,
        checkpoint: &Sealed,
        device: &Device,
    ) -> Result<Self> {
        let mut decoder = Decoder::new(config, &mut Random::new(recipe.seed.child("base"), device))?;
        let mut optimizer = AdamW::new(&recipe.optimizer, &mut decoder, device);
        let mut progress = Progress::default();
        if let Some(bytes) = checkpoint.read()? {
            let path = checkpoint.path();
            let mut stored = Checkpoint::parse(bytes, path, device)?;
            progress = serde_json::from_str(stored.note().unwrap_or_default()).map_err(|cause| {
                Error::environment(format!("`{}` holds no progress", path.display())).with_source(cause)
            })?;
            decoder = Decoder::new(config, &mut stored)?;
            optimizer.restore(&mut stored, "adamw", progress.steps)?;
            stored.finish()?;
        }
        Ok(Self { decoder, optimizer, progress, recipe: recipe.clone(), checkpoint: checkpoint.clone() })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.progress.steps
    }

    /// Seconds of work so far, over all the processes that took part.
    pub fn seconds(&self) -> f64 {
        self.progress.seconds
    }

    /// Trains to the end of the token budget.
    pub fn run(&mut self, sequences: &Sequences, observer: &dyn Observer) -> Result<()> {
        let total = num_steps(&self.recipe);
        let mut saving = Saving::start();
        observer.advance(self.progress.steps * tokens_per_step(&self.recipe));
        while self.progress.steps < total {
            let start = Instant::now();
            let batch = sequences.batch(self.progress.steps, self.recipe.batch_size)?;
            let loss = self.step(&batch, total)?;
            self.progress.seconds += start.elapsed().as_secs_f64();
            self.note_loss(loss, total, observer);
            observer.advance(tokens_per_step(&self.recipe));
            saving.perhaps(observer.interrupted(), || self.save())?;
            observer.check()?;
        }
        Ok(())
    }

    /// What the training came to, and the base.
    pub fn finish(mut self) -> (PretrainResult, Decoder) {
        let last = self.progress.curve.last().map_or(0.0, |point| point.loss);
        let result = PretrainResult {
            num_parameters: count_parameters(&mut self.decoder),
            tokens: self.progress.steps * tokens_per_step(&self.recipe),
            steps: self.progress.steps,
            curve: self.progress.curve,
            final_loss: last,
        };
        (result, self.decoder)
    }

    /// One optimiser step; returns the mean loss of the batch's tokens.
    fn step(&mut self, batch: &[Vec<u32>], total: u64) -> Result<f64> {
        let step = self.progress.steps;
        // Micro-batches share nothing, so they run side by side; their gradients are added in order,
        // so that the sum does not depend on the number of threads.
        let parts: Vec<(f64, Vec<Tensor<1>>)> = batch
            .par_chunks(self.recipe.micro_batch_size)
            .map(|rows| gradient(&self.decoder, rows))
            .collect();
        let count = parts.len() as f64;
        let value = parts.iter().map(|(loss, _)| loss).sum::<f64>() / count;
        let add = |sum: Vec<Tensor<1>>, rows| sum.into_iter().zip(rows).map(|(sum, row)| sum + row).collect();
        let sum = parts.into_iter().map(|(_, gradient)| gradient).reduce(add);
        let mean = sum.expect("a batch has a micro-batch").into_iter().map(|row| row / count);
        let mean = Gradient::new(mean.collect());
        for (what, value) in [("loss", value), ("gradient's norm", mean.read_norm())] {
            if !value.is_finite() {
                return Err(Error::failed(format!("the pretraining {what} is {value} at step {step}"))
                    .hint("lower `pretrain.optimizer.learning-rate`"));
            }
        }
        self.optimizer.update(&mut self.decoder, mean, learning_rate(&self.recipe.optimizer, step, total));
        self.progress.steps += 1;
        Ok(value)
    }

    fn note_loss(&mut self, loss: f64, total: u64, observer: &dyn Observer) {
        let progress = &mut self.progress;
        progress.pending = (progress.pending.0 + loss, progress.pending.1 + 1);
        let every = total.div_ceil(CURVE_POINTS).max(1);
        if !progress.steps.is_multiple_of(every) && progress.steps != total {
            return;
        }
        let mean = progress.pending.0 / progress.pending.1 as f64;
        progress.pending = (0.0, 0);
        let tokens = progress.steps * tokens_per_step(&self.recipe);
        progress.curve.push(LossPoint { step: progress.steps, tokens, loss: mean });
        if progress.curve.len().is_multiple_of(10) {
            observer.say(&format!("step {} of {total}: loss {mean:.4}", progress.steps));
        }
    }

    fn save(&mut self) -> Result<()> {
        let mut tensors = Tensors::of(&mut self.decoder);
        self.optimizer.store(&mut tensors, "adamw");
        tensors.note(serde_json::to_string(&self.progress).expect("progress is plain JSON"));
        self.checkpoint.write(&tensors.to_bytes()?)
    }
}

/// The mean loss over some sequences and its gradient, laid out as a step takes it.
fn gradient(decoder: &Decoder, rows: &[Vec<u32>]) -> (f64, Vec<Tensor<1>>) {
    let tracked = Tracked::new(decoder, DType::F32);
    let loss = next_token_loss(&tracked.0, rows);
    let value: f32 = loss.clone().inner().into_scalar();
    (f64::from(value), laid_out(tracked.gradients(&loss)))
}

/// The mean loss of predicting each token of `batch` but the first from those before it.
fn next_token_loss(decoder: &Decoder, batch: &[Vec<u32>]) -> Tensor<1> {
    let time = batch[0].len() - 1;
    let inputs: Vec<Vec<u32>> = batch.iter().map(|row| row[..time].to_vec()).collect();
    let targets: Vec<i32> = batch.iter().flat_map(|row| row[1..].iter().map(|&id| id as i32)).collect();
    let hidden = Hybrid::base(decoder).forward(&inputs, None, None);
    let [rows, _, width] = hidden.dims();
    let logits = decoder.logits(hidden.reshape([rows * time, width]));
    let device = logits.device();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows * time]), &device);
    cross_entropy(logits, targets)
}
