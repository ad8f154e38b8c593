//! Stage one of Distill-then-Replace: block-wise distillation. For each layer, a linear-attention twin learns
//! to reproduce the output of the layer's full-attention block.
//!
//! A twin gets the same normalised hidden states as the full-attention block. Its loss is the mean squared
//! error to the block's output. Only twins are trained. The hidden states always come from the base, and
//! never from other twins (teacher forcing). The twins therefore do not depend on one another, and one
//! forward pass of the base serves the twins of all layers.
//!
//! A variant is a kind of twin, such as gated linear attention. A [`Student`] holds the twins of one variant.
//! The students of all variants share the forward passes of the base.

mod config;
mod distilled;
mod result;
mod stack_sizes;
mod stack_trainer;
mod step;
mod student;
#[cfg(test)]
mod tests;

pub use config::DistilConfig;
pub use distilled::DistilledTwins;
pub use result::{DistilResult, LayerCurvePoint, LayerLoss};
pub use stack_sizes::largest_stack_size;
pub use step::{train_first_stack, train_step};
pub use student::Student;

use dtr_core::error::Result;
use dtr_model::Decoder;

use super::training::{EncodedCheckpoint, Training, TrainingSchedule, run_training};
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;

/// Trains `students` of `base` on the same `sequences`, with one forward pass of the base per step.
///
/// A student that resumes from a later step waits until the other students reach this step. If a student
/// fails, only this student stops training. Neither case changes the weights of the other students.
///
/// # Errors
/// Fails if sequences cannot be read, a checkpoint cannot be written, or the user asked to stop.
/// [`Student::finish`] returns the failure of a single student.
pub fn distil(
    base: &Decoder,
    students: &mut [Student],
    config: &DistilConfig,
    sequences: &TokenSequences,
    observer: &dyn Observer,
) -> Result<()> {
    let schedule = config.training_schedule();
    run_training(&mut Distillation { base, students, schedule }, schedule, sequences, observer)
}

/// Students of one base that are trained together.
struct Distillation<'a> {
    base: &'a Decoder,
    students: &'a mut [Student],
    schedule: TrainingSchedule,
}

impl Training for Distillation<'_> {
    type Data = TokenSequences;

    fn num_steps_done(&self) -> u64 {
        self.students.iter().map(Student::num_steps_done).min().unwrap_or(self.schedule.num_steps)
    }

    fn train_step(&mut self, step: u64, sequences: &TokenSequences, _: &dyn Observer) -> Result<()> {
        let batch = sequences.batch(step, self.schedule.batch_size)?;
        train_step(self.base, self.students, &batch, step, self.schedule.num_steps);
        Ok(())
    }

    fn encode_checkpoints(&mut self, _: &dyn Observer) -> Result<Vec<EncodedCheckpoint>> {
        self.students.iter().filter_map(|student| student.encode_checkpoint().transpose()).collect()
    }
}
