//! The parts of a training loop that distillation and pretraining share.

mod checkpoint;
mod checkpoint_timer;
mod finite;
mod run;
mod schedule;

pub use checkpoint::{read_checkpoint, write_checkpoint};
pub use checkpoint_timer::CheckpointTimer;
pub use finite::{divergence_error, ensure_finite};
pub use run::{Training, run_training};
pub use schedule::TrainingSchedule;
