//! The trainer of a hybrid by logit distillation.

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::{DivergencePoint, LogitDistilConfig, LogitDistilResult};
use crate::algorithms::training::{
    EncodedCheckpoint, Training, ensure_finite, read_checkpoint, run_training,
};
use crate::algorithms::tuning::{TrainableDecoder, TunedDecoder, accumulate_gradients};
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, LossAndGradient, Mask, NamedTensors, Twins};
use dtr_ops::kl_divergence_loss;

/// The table of the manifest that error hints refer to.
const TABLE: &str = "logit-distil";

/// The approximate number of points of the divergence curve.
const CURVE_POINTS: u64 = 64;

/// The number of points of the curve between two progress messages.
const POINTS_PER_MESSAGE: usize = 8;

/// The number of steps at the end of training over which the final divergence is averaged.
const FINAL_STEPS: usize = 8;

/// A hybrid that learns from the logits of its base.
pub struct LogitDistiller<'a> {
    base: &'a Decoder,
    hybrid: TunedDecoder,
    mask: Mask,
    config: LogitDistilConfig,
    checkpoint: CheckpointFile,
    progress: DistilProgress,
}

/// The contents of a checkpoint other than tensors.
#[derive(Clone, Default, Serialize, Deserialize)]
struct DistilProgress {
    num_steps: u64,
    /// The divergence before the first step.
    initial: f64,
    /// The divergences of the last [`FINAL_STEPS`] steps.
    recent: Vec<f64>,
    /// The sum of the divergences since the last point of the curve, and the number of these divergences.
    pending: (f64, u64),
    curve: Vec<DivergencePoint>,
}

impl<'a> LogitDistiller<'a> {
    /// Creates a trainer. Its hybrid is `base` with the attention of the layers in `mask` replaced by
    /// `twins`. Resumes from `checkpoint` if this file exists.
    ///
    /// # Errors
    /// Fails if `mask` is empty and only linear blocks are trained, or if the checkpoint cannot be read.
    pub fn new_or_resume(
        base: &'a Decoder,
        twins: &Twins,
        mask: &Mask,
        config: &LogitDistilConfig,
        checkpoint: &CheckpointFile,
    ) -> Result<Self> {
        let rates = config.train.group_rates(config.optimizer.learning_rate);
        let hybrid = TunedDecoder::new(base.with_twins(twins, mask), &config.optimizer.to_adamw(), rates)?;
        let (config, checkpoint, mask) = (config.clone(), checkpoint.clone(), mask.clone());
        let mut trainer =
            Self { base, hybrid, mask, config, checkpoint, progress: DistilProgress::default() };
        if let Some((mut stored, progress)) = read_checkpoint(&trainer.checkpoint, &base.device())? {
            trainer.progress = progress;
            trainer.hybrid.restore(&mut stored, trainer.progress.num_steps)?;
            stored.ensure_all_read()?;
        }
        Ok(trainer)
    }

    /// Trains until the token budget is spent.
    ///
    /// # Errors
    /// Fails if the divergence or the gradient is not finite, or if the user asked to stop. Fails if
    /// sequences cannot be read, or if a checkpoint cannot be written.
    pub fn run(&mut self, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()> {
        let schedule = self.config.training_schedule();
        run_training(self, schedule, sequences, observer)
    }

    /// Ends the training. Returns the result, and the trained parameters under their names in the hybrid.
    pub fn finish(mut self) -> (LogitDistilResult, NamedTensors) {
        let DistilProgress { num_steps, initial, recent, curve, .. } = self.progress;
        let result = LogitDistilResult {
            num_layers: self.base.config.num_layers as u32,
            layers: self.mask.layers(),
            num_parameters: self.hybrid.num_trained(),
            tokens: num_steps * self.config.training_schedule().tokens_per_step(),
            steps: num_steps,
            initial_divergence: initial,
            final_divergence: recent.iter().sum::<f64>() / recent.len().max(1) as f64,
            curve,
        };
        (result, self.hybrid.trained_tensors())
    }

    /// Returns the mean divergence of the hybrid on the rows of `batch`, and the gradient of this mean.
    fn divergence_and_gradient(&self, batch: &[Vec<u32>]) -> Result<LossAndGradient> {
        let share = self.config.micro_batch_size.min(batch.len()) as f64 / batch.len() as f64;
        let micro_batches: Vec<&[Vec<u32>]> = batch.chunks(self.config.micro_batch_size).collect();
        let sum = accumulate_gradients(&self.base.device(), &micro_batches, |rows| {
            Ok(divergence_of(self.base, &self.hybrid, rows))
        })?;
        Ok(LossAndGradient {
            loss: sum.loss * share,
            gradient: sum.gradient.into_iter().map(|row| row * share).collect(),
        })
    }

    fn record(&mut self, divergence: f64, step: u64, observer: &dyn Observer) {
        let schedule = self.config.training_schedule();
        let progress = &mut self.progress;
        if step == 0 {
            progress.initial = divergence;
            observer.message(&format!("before training: divergence {divergence:.4}"));
        }
        progress.recent.push(divergence);
        if progress.recent.len() > FINAL_STEPS {
            progress.recent.remove(0);
        }
        progress.pending = (progress.pending.0 + divergence, progress.pending.1 + 1);
        progress.num_steps = step + 1;
        if !schedule.is_curve_point(progress.num_steps, CURVE_POINTS) {
            return;
        }
        let divergence = progress.pending.0 / progress.pending.1 as f64;
        progress.pending = (0.0, 0);
        let tokens = progress.num_steps * schedule.tokens_per_step();
        progress.curve.push(DivergencePoint { step: progress.num_steps, tokens, divergence });
        if progress.curve.len().is_multiple_of(POINTS_PER_MESSAGE) {
            let (step, num_steps) = (progress.num_steps, schedule.num_steps);
            observer.message(&format!("step {step} of {num_steps}: divergence {divergence:.4}"));
        }
    }
}

/// Returns the mean of `KL(base ‖ hybrid)` over the tokens of `rows`, and the gradient of this mean. Both
/// models compute in the dtype of `base`.
fn divergence_of(base: &Decoder, hybrid: &TunedDecoder, rows: &[Vec<u32>]) -> LossAndGradient {
    let hidden_btd = Hybrid::from_base(base).forward_hidden(rows, None, None);
    let [batch, time, width] = hidden_btd.dims();
    let teacher = base.head_inputs(hidden_btd.reshape([batch * time, width]));
    let is_trained = |name: &str| hybrid.is_trained(name);
    hybrid.decoder().loss_and_gradient(rows, base.dtype(), &is_trained, |student, needs_head_gradient| {
        kl_divergence_loss(student, &teacher, needs_head_gradient)
    })
}

impl Training for LogitDistiller<'_> {
    type Data = TokenSequences;

    fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    fn train_step(&mut self, step: u64, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()> {
        let batch = sequences.batch(step, self.config.batch_size)?;
        let LossAndGradient { loss, gradient } = self.divergence_and_gradient(&batch)?;
        let num_steps = self.config.training_schedule().num_steps;
        let norm = self.hybrid.update(gradient, step, num_steps);
        let read = |x: Tensor<1>| f64::from(x.cast(DType::F32).into_scalar::<f32>());
        let divergence = read(loss);
        for (quantity, value) in [("divergence", divergence), ("gradient norm", read(norm))] {
            ensure_finite(format_args!("the {quantity} of the hybrid"), value, step, TABLE)?;
        }
        self.record(divergence, step, observer);
        Ok(())
    }

    fn encode_checkpoints(&mut self, _: &dyn Observer) -> Result<Vec<EncodedCheckpoint>> {
        let tensors = self.hybrid.checkpoint_tensors();
        Ok(vec![EncodedCheckpoint::new(&self.checkpoint, tensors, &self.progress)?])
    }
}
