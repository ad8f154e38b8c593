//! Services for running cells: claims, progress, interruption, panics and the supervisor process.

mod context;
mod panics;
mod program_sandbox;
mod progress;
mod progress_meter;
mod remote_progress_bar;
mod running_cell;
mod saved_usage;
mod signals;
mod supervisor;
mod usage_recorder;

pub use context::RunContext;
pub use panics::catch_cell_panic;
pub use program_sandbox::SandboxOptions;
pub use progress::{ProgressDisplay, ProgressTask};
pub use running_cell::{ClaimOutcome, NotClaimed, RunningCell, log_crash, log_stop, record_failure};
pub use signals::UserRequests;
pub use supervisor::{
    SupervisorConnection, SweepDivision, SweepState, WorkEnd, WorkerCrash, WorkerRole, supervise,
};
pub use usage_recorder::UsageRecorder;
