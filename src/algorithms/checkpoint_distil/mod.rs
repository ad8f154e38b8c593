//! Scheduled checkpoint distillation (arXiv 2601.10114): a student learns a task from checkpoints along its
//! teacher's fine-tuning.
//!
//! The training has stages. Before each stage, the schedule chooses the checkpoint `c` with the lowest
//! `KL(best ‖ c) + KL(student ‖ c)`. `best` is the fine-tuned teacher with the lowest held-out loss. So the
//! first teachers are near the student, and later ones are near the best teacher.
//!
//! Adaptive weights mix two losses of each item: `w KL(c ‖ student) + (1 − w) CE`, with `w = l_S / (l_S +
//! l_T)`. `l_S` is the loss of a fine-tuned student, and `l_T` that of the teacher `c`. So a student follows
//! its teacher on items that the teacher knows better.

mod config;
mod method;
mod objective;
mod result;

pub use config::CheckpointDistilConfig;
pub use method::DistilMethod;
pub use objective::{CheckpointObjective, Teachers};
pub use result::CheckpointDistilResult;
