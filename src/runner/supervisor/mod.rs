//! Runs a sweep in a child process, so that a crash ends only a cell, and not the whole sweep.
//!
//! A failed allocation, the kernel's out-of-memory killer or a fault in a GPU driver ends a whole process. So
//! the process that the user starts does no work itself. This process is the supervisor. The supervisor
//! starts a worker process and waits for the worker.
//!
//! The two processes exchange lines of JSON over a pair of sockets. The worker's socket is its standard
//! input. The supervisor first sends the state of the sweep. Later the supervisor sends `stop` after each
//! Ctrl-C and after the first SIGTERM. After SIGUSR1, the supervisor sends `checkpoint`. The worker reports
//! each cell that the worker starts or ends. When the worker crashes, the supervisor knows which cells were
//! running. The supervisor starts the next worker, which records the crash and continues. When one process
//! ends, its socket closes. The other process then reads the end of the stream.
//!
//! Several workers can run score and search cells in parallel. The first worker runs the cells of the earlier
//! stages. Then the first worker may ask the supervisor to start several workers. The first worker ends after
//! this request. Each of the new workers asks the supervisor for cells, and the supervisor grants each cell
//! to one worker. When all these workers have ended, a last worker runs the remaining cells alone and writes
//! the report.

mod connection;
mod crash_report;
mod messages;
mod parallel;
mod stderr_tee;
mod supervise;
mod supervisor_state;
mod sweep_state;
mod worker_bars;
mod worker_connections;

pub use connection::SupervisorConnection;
pub use messages::{MessageSender, ProgressMessage, SweepDivision, WorkerMessage, WorkerRole};
pub use supervise::supervise;
pub use sweep_state::{SweepState, WorkEnd, WorkerCrash};

/// Name of the environment variable that tells a worker the process id of its supervisor.
const SUPERVISOR: &str = "DTR_SUPERVISOR";

/// The line that the supervisor sends to make a worker stop.
const STOP: &str = "stop";

/// The line that the supervisor sends to make a worker write a checkpoint.
const CHECKPOINT: &str = "checkpoint";
