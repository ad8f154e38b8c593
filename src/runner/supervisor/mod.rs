//! Runs a sweep in a child process, so that a crash ends a cell and not the sweep.
//!
//! A failed allocation, the kernel's out-of-memory killer and a fault in a GPU driver end a process. So the
//! process that the user starts, the supervisor, only starts a worker process and waits for it.
//!
//! The two processes exchange lines of JSON over a pair of sockets. The worker's socket is its standard
//! input. The supervisor first sends the attempts of earlier workers at the sweep's cells, and then `stop`
//! whenever the user presses Ctrl-C. The worker reports each cell that it starts or ends. When the worker
//! dies, the supervisor knows which cells were running. It starts the next worker, which records the crash
//! and continues. Each process detects the death of the other by the end of the stream.
//!
//! Scores and searches can run side by side. The first worker runs the cells before them. Then it may divide
//! them: it tells the supervisor the number of workers, and ends. Each of these workers asks the supervisor
//! for cells, and the supervisor grants each cell to one worker. When all have ended, a last worker runs the
//! remaining cells by itself and writes the report.

mod connection;
mod crash_report;
mod interrupts;
mod messages;
mod parallel;
mod previous_attempts;
mod stderr_tee;
mod supervise;
mod sweep_state;
mod worker_bars;

pub use connection::SupervisorConnection;
pub use messages::{Division, MessageSender, ProgressMessage, WorkerMessage, WorkerRole};
pub use previous_attempts::{CellEnd, Crash, PreviousAttempts};
pub use supervise::supervise;

/// The environment variable that holds the supervisor's process id in a worker.
const SUPERVISOR: &str = "DTR_SUPERVISOR";

/// The line that the supervisor sends when the user wants to stop.
const STOP: &str = "stop";
