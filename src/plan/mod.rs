//! What a manifest means: the cells it asks for, each with the key that its result is kept under.
//!
//! `dtr plan` and `dtr sweep` share it: what the one shows the other does. Nothing is run here, and
//! nothing is asked of the store; [`standing`] and [`reason`] compare with what the store remembers.

mod cells;
mod compatibility;
mod downloads;
mod estimate;
mod evaluations;
mod expand;
mod memory;
mod memory_check;
mod reason;
mod shapes;
mod spec;
mod state;
mod timing;

#[cfg(test)]
mod tests;

pub use cells::{BaseSource, Cell, Distillation, Labels, Pretraining, Scoring, Searching, Work};
pub use downloads::Needs;
pub use estimate::{Estimate, Memory};
pub use expand::{Plan, plan, plan_on};
pub use memory::Lessons;
pub use memory_check::ensure_room;
pub use reason::{Change, Reason, Status, status};
pub use spec::{
    CorpusIdentity, DistilSpec, FileIdentity, ModelIdentity, PretrainSpec, ScoreSpec, SearchSpec,
    TaskIdentity, ThroughputSpec,
};
pub use state::{CellState, Check, cell_state};
pub use timing::{Layers, Timing};
