//! The messages between the supervisor and its workers. Each message is one line of JSON.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::sweep_state::{SweepState, WorkEnd};
use crate::store::CellKey;
use dtr_core::files::Digest;

/// The first line that the supervisor sends to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WorkerAssignment {
    /// The part of the sweep that the worker runs.
    pub(super) role: WorkerRole,
    /// The state of the sweep when the worker starts.
    pub(super) sweep_state: SweepState,
}

/// The part of a sweep that a worker runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerRole {
    /// The first worker of a sweep. It runs every cell and writes the report. If several workers divide the
    /// cells that can run in parallel, the first worker ends before these cells start.
    First,
    /// One of several workers that run at the same time. It runs the cells that the supervisor grants to it.
    Parallel {
        /// Bytes of memory that the worker may use on each device. `None` if this limit is unknown.
        memory_limit: Option<u64>,
        /// The number of workers that run at the same time.
        num_workers: usize,
        /// Whether the supervisor draws bars from the worker's progress.
        sends_progress: bool,
    },
    /// The last worker of a divided sweep. It runs every remaining cell, and writes the report. A process
    /// without a supervisor has the same role.
    #[default]
    Last,
}

impl WorkerRole {
    /// Returns the number of workers that run at the same time.
    pub fn num_workers(self) -> usize {
        match self {
            Self::Parallel { num_workers, .. } => num_workers,
            Self::First | Self::Last => 1,
        }
    }
}

/// The division of a sweep's cells among several workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepDivision {
    /// Number of workers.
    pub num_workers: usize,
    /// Bytes of memory that each worker may use on each device. `None` if this limit is unknown.
    pub memory_limit: Option<u64>,
    /// Number of cells of the sweep.
    pub num_cells: usize,
    /// Number of cells of the stages that ran before the division.
    pub num_ended_cells: usize,
    /// Whether the first failure ends the sweep.
    pub fail_fast: bool,
}

/// A message from a worker to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerMessage {
    /// The worker has planned its cells. The field is the digest of their keys.
    Planned(Digest),
    /// The worker has started this cell.
    Started(CellKey),
    /// The worker has stopped working on this cell.
    Ended(CellKey, WorkEnd),
    /// The worker ends. The supervisor then starts several workers for the cells that can run in parallel.
    Divided(SweepDivision),
    /// The worker asks to run these cells. The supervisor answers with the keys of the cells that the worker
    /// may run.
    Requested(Vec<CellKey>),
    /// The progress of the worker. The worker sends its progress only if the supervisor draws bars.
    Progress(ProgressMessage),
}

/// The progress of a worker, from which the supervisor draws bars.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressMessage {
    /// This many further cells have ended.
    CellsEnded(usize),
    /// A task has begun.
    TaskStarted {
        /// The number that identifies the task in its worker.
        task: u64,
        /// The name of the task.
        name: String,
        /// The total units of work.
        total: u64,
        /// The name of the unit.
        unit: String,
    },
    /// A task has advanced. The fields are the number of the task, and the number of further units of work.
    TaskAdvanced(u64, u64),
    /// The task with this number has ended.
    TaskEnded(u64),
}

/// Sends messages to the supervisor. The default value has no supervisor, and sends nothing.
#[derive(Clone, Debug, Default)]
pub struct MessageSender(Option<Arc<Mutex<UnixStream>>>);

impl MessageSender {
    /// Creates a sender that writes to `socket`.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self(Some(Arc::new(Mutex::new(socket))))
    }

    /// Sends a message. Ignores errors, because they mean that the supervisor is dead. The thread that reads
    /// the supervisor's lines then ends this process.
    pub fn send(&self, message: &WorkerMessage) {
        let Some(socket) = &self.0 else { return };
        let text = serde_json::to_string(message).expect("messages are plain JSON");
        let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = socket.write_all(format!("{text}\n").as_bytes());
    }
}
