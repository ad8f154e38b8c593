//! Supervised fine-tuning: a base or a hybrid learns the completions of a task's train split.
//!
//! The loss is the cross entropy of the completion's tokens. The prompt's tokens have no loss. A part of the
//! train split is held out, and its loss chooses the epoch whose weights are kept.

mod config;
mod kept_checkpoints;
mod loss;
mod objective;
mod result;
mod trainer;

pub use config::{FinetuneConfig, FinetuneStart, FinetunedParts, KeptAttention, LoraParts};
pub use kept_checkpoints::KeptCheckpoints;
pub use loss::{
    IndexedExample, PaddedRows, completion_losses, loss_and_gradient_of_rows, map_rows, num_targets,
    with_indices,
};
pub use objective::{CompletionLoss, Objective, StageTeacher};
pub use result::{EpochPoint, FinetuneResult};
pub use trainer::Finetuner;
