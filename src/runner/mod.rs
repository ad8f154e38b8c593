//! Conduct: takes a plan's cells in order, asks the store what is done, has the rest done, and keeps
//! what came of it. One failed cell never stops the others.

mod bases;
mod claims;
mod crashes;
mod distil_run;
mod fetch;
mod jobs;
mod panics;
mod progress;
mod pruned;
mod scheduler;
mod search_run;
mod stop;
mod timing;
mod watch;

pub use bases::{base_directory, ensure_computable, twins_file};
pub use fetch::{Digests, fetch};
pub use progress::Progress;
pub use scheduler::{Context, Failures, Summary, Without, run};
pub use stop::Stopper;
pub use watch::{Worker, watch};
