//! The objective that a fine-tuned model minimizes.

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::loss::{PaddedRows, cross_entropy_of_rows};
use crate::algorithms::tuning::TrainableDecoder;
use crate::data::TrainingExamples;
use crate::observer::Observer;
use dtr_core::error::Result;
use dtr_model::{Decoder, LossAndGradient};

/// The objective of a training on the completions of a task. The training has stages of equal lengths. Each
/// stage has a teacher of its own, or none.
pub trait Objective: Send + Sync {
    /// Returns the number of stages. Each stage has a new optimizer and a learning-rate schedule of its own.
    fn num_stages(&self) -> u64;

    /// Chooses the teacher of a new stage. `student` is the model at the start of the stage.
    ///
    /// # Errors
    /// Fails if a teacher cannot be read, or if the device fails.
    fn begin_stage(
        &mut self,
        student: &Decoder,
        examples: &TrainingExamples,
        observer: &dyn Observer,
    ) -> Result<Option<StageTeacher>>;

    /// Continues a stage whose teacher was chosen earlier.
    ///
    /// # Errors
    /// Fails if a teacher cannot be read, or if the device fails.
    fn resume_stage(&mut self, teacher: StageTeacher, examples: &TrainingExamples) -> Result<()>;

    /// Returns the sum of the losses of the learned tokens in `rows`, divided by `divisor`, and its reduced
    /// gradient. The pass computes in `dtype`.
    fn loss_and_gradient(
        &self,
        model: &dyn TrainableDecoder,
        dtype: DType,
        rows: &PaddedRows,
        divisor: f64,
    ) -> LossAndGradient;
}

/// The teacher of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTeacher {
    /// The index of the teacher among the teachers that can be chosen.
    pub index: usize,
    /// The divergence of the teacher from the best teacher, in nats per token. `None` if it was not computed.
    pub divergence_from_best: Option<f64>,
    /// The divergence of the teacher from the student, in nats per token. `None` if it was not computed.
    pub divergence_from_student: Option<f64>,
}

/// The cross entropy of the tokens of completions, without a teacher.
pub struct CompletionLoss;

impl Objective for CompletionLoss {
    fn num_stages(&self) -> u64 {
        1
    }

    fn begin_stage(
        &mut self,
        _: &Decoder,
        _: &TrainingExamples,
        _: &dyn Observer,
    ) -> Result<Option<StageTeacher>> {
        Ok(None)
    }

    fn resume_stage(&mut self, _: StageTeacher, _: &TrainingExamples) -> Result<()> {
        Ok(())
    }

    fn loss_and_gradient(
        &self,
        model: &dyn TrainableDecoder,
        dtype: DType,
        rows: &PaddedRows,
        divisor: f64,
    ) -> LossAndGradient {
        cross_entropy_of_rows(model, dtype, rows, divisor)
    }
}
