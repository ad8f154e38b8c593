//! Plans an experiment: turns a manifest into cells. A cell is one computation, such as a distillation or a
//! search. The key of a cell identifies the cell in the store.
//!
//! `dtr plan` shows a plan, and `dtr sweep` runs the plan's cells. Planning runs no cell. [`cell_statuses`]
//! compares a plan with the store. [`PlanEstimate`] adds up the resources of a plan's cells, and
//! [`TimeEstimate`] estimates how long the cells take.

mod compatibility;
mod compatibility_cache;
mod downloads;
mod estimate;
mod expand;
mod generated_tokens;
mod portable;
mod selection;
mod status;
mod time;
mod workers;

#[cfg(test)]
mod tests;

pub use downloads::Downloads;
pub use estimate::{PlanEstimate, ensure_weights_fit};
pub use expand::{Plan, plan_for_cpu, plan_for_machine, plan_from_identities};
pub use selection::{CellFilter, CellSelection};
pub use status::{CellStatus, RunReason, SpecChange, cell_statuses, compare_json};
pub use time::{ESTIMATE_TOKENS, TimeEstimate};
pub use workers::{WorkerOptions, WorkerPlan, can_run_in_parallel};
