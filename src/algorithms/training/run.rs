//! The training loop.

use dtr_core::error::Result;

use super::{CheckpointTimer, TrainingSchedule};
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;

/// One or several models that [`run_training`] trains.
pub trait Training {
    /// Returns the number of optimizer steps done so far.
    fn num_steps_done(&self) -> u64;

    /// Does the optimizer step `step`. Steps are counted from 0.
    ///
    /// # Errors
    /// Fails if the training cannot go on.
    fn train_step(&mut self, step: u64, sequences: &TokenSequences, observer: &dyn Observer) -> Result<()>;

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// Fails if the checkpoint cannot be written.
    fn save(&mut self, observer: &dyn Observer) -> Result<()>;
}

/// Does the remaining steps of `schedule`. Writes checkpoints at the intervals of [`CheckpointTimer`].
///
/// # Errors
/// Fails if `training` fails, or if the user asked to stop. If the user asked to stop, writes a last
/// checkpoint first.
pub fn run_training(
    training: &mut impl Training,
    schedule: TrainingSchedule,
    sequences: &TokenSequences,
    observer: &dyn Observer,
) -> Result<()> {
    let first = training.num_steps_done();
    observer.advance(first * schedule.tokens_per_step());
    let mut timer = CheckpointTimer::start();
    for step in first..schedule.num_steps {
        training.train_step(step, sequences, observer)?;
        observer.advance(schedule.tokens_per_step());
        timer.save_if_due(observer.is_interrupted(), || {
            observer.before_checkpoint()?;
            training.save(observer)
        })?;
        observer.check_interrupted()?;
    }
    Ok(())
}
