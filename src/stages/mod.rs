//! The stages. A stage is a kind of work, such as the training of a base. Its unit of work is a cell, whose
//! result the [store](crate::store) keeps.
//!
//! Each stage has its own file or folder here, which holds its specification, its inputs, its computation and
//! its resources. [`STAGES`] lists the stages in the order in which their cells run.

mod base;
mod base_path;
mod cell;
pub mod checkpoint_distil;
pub mod distil;
pub mod finetune;
mod finetune_base;
pub mod finetune_score;
mod hybrid_scorer;
mod identity;
mod input_identities;
pub mod logit_distil;
mod models;
mod planner;
pub mod pretrain;
mod roads_identity;
pub mod score;
pub mod search;
mod stage;
pub mod throughput;
mod training_cell;
pub mod tuned_score;

pub use base::{BaseSource, BaseSpec};
pub use base_path::base_path;
pub use cell::{Cell, CellLabels};
pub use checkpoint_distil::CheckpointDistilJob;
pub use distil::DistilJob;
pub use finetune::FinetuneJob;
pub use finetune_base::FinetuneBaseJob;
pub use finetune_score::FinetuneScoreJob;
pub use identity::{CorpusIdentity, FileIdentity, ModelIdentity, SplitIdentity};
pub use input_identities::InputIdentities;
pub use logit_distil::LogitDistilJob;
pub use models::{ModelCache, ensure_dtypes_supported, tuned_file, twins_file, verified_base_path};
pub use planner::{Planner, SweepPoint};
pub use pretrain::PretrainJob;
pub use score::ScoreJob;
pub use search::SearchJob;
pub use stage::{CompletedBy, Job, Stage, StageCache, WorkCounts};
pub use throughput::ThroughputJob;
pub use tuned_score::TunedScoreJob;

use crate::store::StageName;
use dtr_core::error::Result;

/// An entry of [`STAGES`].
pub struct StageEntry {
    /// The stage's name.
    pub name: StageName,
    /// The version of the stage's algorithm. This is [`Stage::VERSION`].
    pub version: u32,
    /// Adds the cells that a point of the sweep asks for. This is [`Stage::plan`].
    pub plan: fn(&SweepPoint<'_>, &mut Planner) -> Result<()>,
}

impl StageEntry {
    const fn for_stage<S: Stage>() -> Self {
        Self { name: S::NAME, version: S::VERSION, plan: S::plan }
    }
}

/// All stages, in the order in which their cells run.
pub static STAGES: [StageEntry; 11] = [
    StageEntry::for_stage::<PretrainJob>(),
    StageEntry::for_stage::<FinetuneBaseJob>(),
    StageEntry::for_stage::<DistilJob>(),
    StageEntry::for_stage::<ScoreJob>(),
    StageEntry::for_stage::<SearchJob>(),
    StageEntry::for_stage::<LogitDistilJob>(),
    StageEntry::for_stage::<TunedScoreJob>(),
    StageEntry::for_stage::<FinetuneJob>(),
    StageEntry::for_stage::<CheckpointDistilJob>(),
    StageEntry::for_stage::<FinetuneScoreJob>(),
    StageEntry::for_stage::<ThroughputJob>(),
];

/// Returns the position of a stage in [`STAGES`]. An unknown stage has the position after the last stage.
pub fn stage_order(name: &StageName) -> usize {
    STAGES.iter().position(|stage| stage.name == *name).unwrap_or(STAGES.len())
}
