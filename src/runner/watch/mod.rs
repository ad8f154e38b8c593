//! Runs a sweep in a child process, so that a crash which no process can catch ends a cell and not the sweep.
//!
//! A failed allocation, the kernel's out-of-memory killer and a fault in a GPU driver end a process. So the
//! process that the user starts, the watcher, only starts a worker process and waits for it.
//!
//! The two exchange lines of JSON over a pair of sockets. The worker's socket is its standard input. The
//! watcher sends once what happened to the sweep's cells in earlier workers, and then `stop` whenever the
//! user presses Ctrl-C. The worker sends which cells it starts and ends. When the worker dies, the watcher
//! knows the cells that it worked on and starts the next worker, which records the crash and continues. Each
//! notices the other's death by the end of the stream.

mod crash_report;
mod stderr_tee;
mod sweep_state;
mod watcher;
mod worker;

pub use sweep_state::{CellEnd, Crash, SweepState};
pub use watcher::watch;
pub use worker::Worker;

/// The environment variable that holds the watcher's process id in a worker.
const WATCHER: &str = "DTR_WATCHER";

/// The line that the watcher sends when the user wants to stop.
const STOP: &str = "stop";
