//! The result of training a student of checkpoints.

use serde::{Deserialize, Serialize};

use crate::algorithms::finetune::{FinetuneResult, StageTeacher};

/// The result of training a student of checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointDistilResult {
    /// The sizes and losses of the training. The training losses are those of the method. The held-out losses
    /// are cross entropies.
    pub training: FinetuneResult,
    /// The teacher of each stage. Indices count the checkpoints in the order of their steps, from 0. The
    /// weights of the teacher's best epoch have the last index.
    pub teachers: Vec<StageTeacher>,
}
