//! The training loop.

use dtr_core::error::Result;

use super::{CheckpointTimer, CheckpointWriter, EncodedCheckpoint, TrainingSchedule};
use crate::observer::Observer;

/// One or several models that [`run_training`] trains.
pub trait Training {
    /// The type of the training data.
    type Data: ?Sized;

    /// Returns the number of optimizer steps done so far.
    fn num_steps_done(&self) -> u64;

    /// Does the optimizer step `step`. Steps are counted from 0.
    ///
    /// # Errors
    /// Fails if the training cannot go on.
    fn train_step(&mut self, step: u64, data: &Self::Data, observer: &dyn Observer) -> Result<()>;

    /// Returns the checkpoints of the models.
    ///
    /// # Errors
    /// Fails if a checkpoint cannot be encoded.
    fn encode_checkpoints(&mut self, observer: &dyn Observer) -> Result<Vec<EncodedCheckpoint>>;
}

/// Does the remaining steps of `schedule`. Writes checkpoints at the intervals of [`CheckpointTimer`], in the
/// background.
///
/// # Errors
/// Fails if `training` fails, if a checkpoint cannot be written, or if the user asked to stop. If the user
/// asked to stop, writes a last checkpoint first. If the user asked for a checkpoint, writes one and goes on.
pub fn run_training<T: Training>(
    training: &mut T,
    schedule: TrainingSchedule,
    data: &T::Data,
    observer: &dyn Observer,
) -> Result<()> {
    let first = training.num_steps_done();
    observer.advance(first * schedule.tokens_per_step());
    let (mut timer, mut writer) = (CheckpointTimer::start(), CheckpointWriter::default());
    let mut num_requests = observer.num_checkpoint_requests();
    for step in first..schedule.num_steps {
        training.train_step(step, data, observer)?;
        observer.advance(schedule.tokens_per_step());
        let is_requested = observer.num_checkpoint_requests() > num_requests;
        timer.save_if_due(is_requested || observer.is_interrupted(), || {
            observer.before_checkpoint()?;
            // The previous group is written first, so that the memory never holds two groups of checkpoints.
            writer.finish()?;
            writer.write(training.encode_checkpoints(observer)?)
        })?;
        if observer.is_interrupted() {
            writer.finish()?;
        }
        observer.check_interrupted()?;
        if is_requested {
            num_requests = observer.num_checkpoint_requests();
            writer.finish()?;
            observer.message(&format!("wrote a checkpoint after step {}, as SIGUSR1 asked", step + 1));
        }
    }
    writer.finish()
}
