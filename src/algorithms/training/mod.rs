//! The training loop of distillation, logit distillation and pretraining, with its checkpoints.

mod checkpoint;
mod checkpoint_timer;
mod checkpoint_writer;
mod divergence;
mod run;
mod schedule;

pub use checkpoint::{EncodedCheckpoint, read_checkpoint};
pub use checkpoint_timer::CheckpointTimer;
pub use checkpoint_writer::CheckpointWriter;
pub use divergence::{divergence_error, ensure_finite};
pub use run::{Training, run_training};
pub use schedule::TrainingSchedule;
