//! Conduct: takes a plan's cells in order, asks the store what is done, has the rest done, and keeps
//! what came of it. One failed cell never stops the others.

mod bases;
mod claims;
mod conductor;
mod deaths;
mod distilling;
mod dropped;
mod fetch;
mod hunt;
mod panics;
mod perform;
mod progress;
mod stop;
mod timing;
mod watch;

pub use bases::{base_directory, ensure_computable, twins_file};
pub use conductor::{Context, Failures, Summary, Without, run};
pub use fetch::{Digests, fetch};
pub use progress::Progress;
pub use stop::Stopper;
pub use watch::{Worker, watch};
