//! The trainer of a base or a hybrid by supervised fine-tuning.

use burn::tensor::{DType, Tensor};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::loss::{batch_loss_and_gradient, completion_loss_sum};
use super::{
    CompletionLoss, EpochPoint, FinetuneConfig, FinetuneResult, FinetunedParts, IndexedExample,
    KeptCheckpoints, Objective, StageTeacher, num_targets, with_indices,
};
use crate::algorithms::training::{
    EncodedCheckpoint, Training, TrainingSchedule, ensure_finite, read_checkpoint, run_training,
};
use crate::algorithms::tuning::{LoraDecoder, TrainableDecoder, TunedDecoder};
use crate::data::TrainingExamples;
use crate::observer::Observer;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::{Decoder, NamedTensors, to_dtype};

/// The table of the manifest that error hints refer to.
const TABLE: &str = "finetune";

/// The prefix of the names of the kept parameters in checkpoints.
const BEST_PREFIX: &str = "best.";

/// A base or a hybrid that learns the completions of a task.
pub struct Finetuner {
    model: Box<dyn TrainableDecoder>,
    /// The floating-point type that the model computes in.
    dtype: DType,
    /// The replaced layers, ascending.
    layers: Vec<u32>,
    config: FinetuneConfig,
    checkpoint: CheckpointFile,
    progress: FinetuneProgress,
    /// The trained parameters after the best epoch so far.
    best: NamedTensors,
    kept: KeptCheckpoints,
    objective: Box<dyn Objective>,
    /// Whether the objective has the teacher of the current stage.
    has_teacher: bool,
}

/// The contents of a checkpoint other than tensors.
#[derive(Clone, Default, Serialize, Deserialize)]
struct FinetuneProgress {
    num_steps: u64,
    /// The number of steps of the current stage's optimizer.
    num_optimizer_steps: u64,
    num_tokens: u64,
    num_completion_tokens: u64,
    /// The held-out loss before the first step. `None` before it was computed.
    initial_loss: Option<f64>,
    /// The best epoch so far, and its held-out loss.
    best: (u32, f64),
    /// The sum of the losses since the end of the last epoch, and the number of these losses.
    pending: (f64, u64),
    epochs: Vec<EpochPoint>,
    /// The teachers of the stages so far.
    #[serde(default)]
    teachers: Vec<StageTeacher>,
}

impl Finetuner {
    /// Creates a trainer of `start`, in which linear blocks replace the attention of `layers`. Resumes from
    /// `checkpoint` if this file exists. The objective is the cross entropy of completions.
    ///
    /// # Errors
    /// Fails if no parameter is trained, or if the checkpoint cannot be read.
    pub fn new_or_resume(
        start: Decoder,
        layers: Vec<u32>,
        config: &FinetuneConfig,
        checkpoint: &CheckpointFile,
    ) -> Result<Self> {
        Self::with_objective(start, layers, config, checkpoint, Box::new(CompletionLoss))
    }

    /// Creates a trainer as [`Finetuner::new_or_resume`] does, with another objective.
    ///
    /// # Errors
    /// Fails if no parameter is trained, or if the checkpoint cannot be read.
    pub fn with_objective(
        start: Decoder,
        layers: Vec<u32>,
        config: &FinetuneConfig,
        checkpoint: &CheckpointFile,
        objective: Box<dyn Objective>,
    ) -> Result<Self> {
        let (dtype, device) = (start.dtype(), start.device());
        let mut model = trainable(start, config)?;
        let (best, progress) = (model.trained_tensors(), FinetuneProgress::default());
        let (config, checkpoint) = (config.clone(), checkpoint.clone());
        let kept = KeptCheckpoints::default();
        let has_teacher = false;
        let mut trainer =
            Self { model, dtype, layers, config, checkpoint, progress, best, kept, objective, has_teacher };
        if let Some((mut stored, progress)) = read_checkpoint(&trainer.checkpoint, &device)? {
            trainer.progress = progress;
            trainer.model.restore(&mut stored, trainer.progress.num_optimizer_steps)?;
            trainer.best = trainer.best.read_like(&mut stored, BEST_PREFIX)?;
            stored.ensure_all_read()?;
        }
        Ok(trainer)
    }

    /// Keeps checkpoints in the files of `kept`. Returns the trainer, or `None` if the training resumed after a
    /// checkpoint that is missing in `kept`.
    ///
    /// # Errors
    /// Fails if the training has fewer steps than checkpoints are kept, or if a file cannot be read.
    pub fn keep(self, kept: KeptCheckpoints, examples: &TrainingExamples) -> Result<Option<Self>> {
        let num_steps = self.schedule(examples).num_steps;
        kept.ensure_enough_steps(num_steps)?;
        let is_complete = kept.is_complete(self.progress.num_steps, num_steps)?;
        Ok(is_complete.then_some(Self { kept, ..self }))
    }

    /// Trains for all epochs.
    ///
    /// # Errors
    /// Fails if the loss or the gradient is not finite, if the user asked to stop, or if a checkpoint cannot be
    /// written.
    pub fn run(&mut self, examples: &TrainingExamples, observer: &dyn Observer) -> Result<()> {
        if self.progress.initial_loss.is_none() {
            let loss = self.held_out_loss(examples)?;
            observer.message(&format!("before training: held-out loss {loss:.4}"));
            (self.progress.initial_loss, self.progress.best) = (Some(loss), (0, loss));
        }
        let schedule = self.schedule(examples);
        run_training(self, schedule, examples, observer)
    }

    /// Returns the number of optimizer steps and the largest batch. `sequence_length` is the length of the
    /// longest example.
    pub fn schedule(&self, examples: &TrainingExamples) -> TrainingSchedule {
        let longest = examples.training.iter().map(|example| example.tokens.len()).max().unwrap_or(1);
        let batch_size = self.config.batch_size.min(examples.training.len());
        let num_steps = u64::from(self.config.epochs) * self.steps_per_epoch(examples);
        TrainingSchedule { num_steps, batch_size, sequence_length: longest }
    }

    /// Returns the teachers of all stages so far.
    pub fn teachers(&self) -> &[StageTeacher] {
        &self.progress.teachers
    }

    /// Ends the training. Returns the result, and the parameters that the training changes, with their values
    /// after the best epoch.
    pub fn finish(mut self, examples: &TrainingExamples) -> (FinetuneResult, NamedTensors) {
        let progress = self.progress;
        let result = FinetuneResult {
            num_layers: self.model.decoder().config.num_layers as u32,
            layers: self.layers,
            num_parameters: self.model.num_trained(),
            num_items: examples.training.len() as u64,
            num_held_out: examples.held_out.len() as u64,
            num_truncated: examples.num_truncated(),
            steps: progress.num_steps,
            tokens: progress.num_tokens,
            completion_tokens: progress.num_completion_tokens,
            initial_loss: progress.initial_loss.unwrap_or_default(),
            best_epoch: progress.best.0,
            epochs: progress.epochs,
        };
        (result, self.best)
    }

    fn steps_per_epoch(&self, examples: &TrainingExamples) -> u64 {
        examples.training.len().div_ceil(self.config.batch_size) as u64
    }

    /// Returns the examples of a step. Each epoch has an order of its own, and its last batch may be smaller.
    fn batch<'a>(&self, step: u64, examples: &'a TrainingExamples) -> Vec<IndexedExample<'a>> {
        let steps_per_epoch = self.steps_per_epoch(examples);
        let mut order = with_indices(&examples.training);
        let seed = self.config.seed.child(&format!("epoch-{}", step / steps_per_epoch));
        order.shuffle(&mut seed.rng());
        let first = (step % steps_per_epoch) as usize * self.config.batch_size;
        order[first..order.len().min(first + self.config.batch_size)].to_vec()
    }

    /// Returns the mean loss of the tokens of all held-out completions.
    fn held_out_loss(&self, examples: &TrainingExamples) -> Result<f64> {
        let decoder = to_dtype(self.model.decoder().clone(), self.dtype);
        let held_out = with_indices(&examples.held_out);
        let num_targets = num_targets(&held_out);
        Ok(completion_loss_sum(&decoder, held_out, self.config.micro_batch_size)? / num_targets as f64)
    }

    /// Returns the number of steps of a stage.
    fn steps_per_stage(&self, examples: &TrainingExamples) -> u64 {
        self.schedule(examples).num_steps / self.objective.num_stages()
    }

    /// Gives the objective the teacher of the stage to which `step` belongs. At the first step of a stage, lets
    /// the objective choose the teacher, and resets the optimizer.
    fn prepare_stage(
        &mut self,
        step: u64,
        examples: &TrainingExamples,
        observer: &dyn Observer,
    ) -> Result<()> {
        let is_first_step = step.is_multiple_of(self.steps_per_stage(examples));
        if is_first_step {
            let student = to_dtype(self.model.decoder().clone(), self.dtype);
            let teacher = self.objective.begin_stage(&student, examples, observer)?;
            self.progress.teachers.extend(teacher);
            self.progress.num_optimizer_steps = 0;
            if step > 0 {
                self.model.reset_optimizer();
            }
        } else if let (false, Some(teacher)) = (self.has_teacher, self.progress.teachers.last()) {
            self.objective.resume_stage(*teacher, examples)?;
        }
        self.has_teacher = true;
        Ok(())
    }

    fn record_step(&mut self, loss: f64, batch: &[IndexedExample<'_>], step: u64) {
        let progress = &mut self.progress;
        progress.pending = (progress.pending.0 + loss, progress.pending.1 + 1);
        progress.num_steps = step + 1;
        progress.num_optimizer_steps += 1;
        progress.num_tokens += batch.iter().map(|one| one.example.inputs().len() as u64).sum::<u64>();
        progress.num_completion_tokens += num_targets(batch) as u64;
    }

    /// Computes the held-out loss, and keeps the parameters if the loss is the lowest so far.
    fn end_epoch(&mut self, examples: &TrainingExamples, observer: &dyn Observer) -> Result<()> {
        let held_out_loss = self.held_out_loss(examples)?;
        let step = self.progress.num_steps - 1;
        ensure_finite(format_args!("the held-out loss"), held_out_loss, step, TABLE)?;
        let progress = &mut self.progress;
        let epoch = progress.epochs.len() as u32 + 1;
        let training_loss = progress.pending.0 / progress.pending.1 as f64;
        progress.pending = (0.0, 0);
        progress.epochs.push(EpochPoint { epoch, training_loss, held_out_loss });
        if held_out_loss < progress.best.1 {
            progress.best = (epoch, held_out_loss);
            self.best = self.model.trained_tensors();
        }
        observer.message(&format!(
            "epoch {epoch} of {}: loss {training_loss:.4}, held-out loss {held_out_loss:.4}",
            self.config.epochs
        ));
        Ok(())
    }
}

/// Creates the trainable form of `start`.
fn trainable(start: Decoder, config: &FinetuneConfig) -> Result<Box<dyn TrainableDecoder>> {
    let optimizer = config.to_adamw();
    Ok(match &config.train {
        FinetunedParts::Full(parts) => {
            Box::new(TunedDecoder::new(start, &optimizer, parts.group_rates(config.attention))?)
        }
        FinetunedParts::Lora(parts) => {
            let is_adapted = |name: &str| config.trains(name);
            Box::new(LoraDecoder::new(start, parts.shape(), &optimizer, config.seed, is_adapted)?)
        }
    })
}

impl Training for Finetuner {
    type Data = TrainingExamples;

    fn num_steps_done(&self) -> u64 {
        self.progress.num_steps
    }

    fn train_step(&mut self, step: u64, examples: &TrainingExamples, observer: &dyn Observer) -> Result<()> {
        self.prepare_stage(step, examples, observer)?;
        let (batch, dtype) = (self.batch(step, examples), self.dtype);
        let (model, objective, divisor) = (&*self.model, &*self.objective, num_targets(&batch) as f64);
        let micro_batch_size = self.config.micro_batch_size;
        let found = batch_loss_and_gradient(model, batch.clone(), micro_batch_size, |rows| {
            objective.loss_and_gradient(model, dtype, rows, divisor)
        })?;
        let steps_per_stage = self.steps_per_stage(examples);
        let norm = self.model.update(found.gradient, step % steps_per_stage, steps_per_stage);
        let read = |x: Tensor<1>| f64::from(x.cast(DType::F32).into_scalar::<f32>());
        let loss = read(found.loss);
        for (quantity, value) in [("loss", loss), ("gradient norm", read(norm))] {
            ensure_finite(format_args!("the {quantity} of the fine-tuning"), value, step, TABLE)?;
        }
        self.record_step(loss, &batch, step);
        let (num_steps, model) = (self.schedule(examples).num_steps, &mut self.model);
        self.kept.save_if_kept(step + 1, num_steps, || model.trained_tensors())?;
        match (step + 1).is_multiple_of(self.steps_per_epoch(examples)) {
            true => self.end_epoch(examples, observer),
            false => Ok(()),
        }
    }

    fn encode_checkpoints(&mut self, _: &dyn Observer) -> Result<Vec<EncodedCheckpoint>> {
        let mut tensors = self.model.checkpoint_tensors();
        tensors.extend(self.best.clone().with_prefix(BEST_PREFIX));
        Ok(vec![EncodedCheckpoint::new(&self.checkpoint, tensors, &self.progress)?])
    }
}
