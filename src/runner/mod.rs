//! Services for running cells: claims, progress, interruption, panics and the supervisor process.

mod claimed_cell;
mod context;
mod panics;
mod progress;
mod stop;
mod supervisor;

pub use claimed_cell::{ClaimOutcome, ClaimedCell, log_crash, log_stop, record_failure};
pub use context::RunContext;
pub use panics::catch_panic;
pub use progress::{ProgressDisplay, ProgressTask};
pub use stop::StopFlag;
pub use supervisor::{CellEnd, Crash, SweepState, Worker, supervise};
