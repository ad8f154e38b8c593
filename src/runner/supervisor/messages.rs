//! The messages between the supervisor and its workers, each one line of JSON.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::previous_attempts::{CellEnd, PreviousAttempts};
use crate::store::Key;
use dtr_core::files::Digest;

/// The first line that the supervisor sends to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Assignment {
    /// The part of the sweep that the worker does.
    pub(super) role: WorkerRole,
    /// The attempts of earlier workers at the sweep's cells.
    pub(super) previous_attempts: PreviousAttempts,
}

/// The part of a sweep that a worker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerRole {
    /// It runs every cell and writes the report, or divides the cells that can run side by side among several
    /// workers.
    First,
    /// It runs the cells that the supervisor grants, beside other workers.
    Parallel {
        /// Bytes of memory that the worker may use on each device, if that is known.
        memory_limit: Option<u64>,
        /// Whether the supervisor draws bars from the worker's progress.
        sends_progress: bool,
    },
    /// It runs every cell that is left, and writes the report.
    #[default]
    Last,
}

/// The division of a sweep's cells among several workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Division {
    /// Number of workers.
    pub num_workers: usize,
    /// Bytes of memory that each worker may use on each device, if that is known.
    pub memory_limit: Option<u64>,
    /// Number of cells of the sweep.
    pub num_cells: usize,
    /// Number of cells that ended before the division.
    pub num_ended_cells: usize,
    /// Whether no cell starts after the first failure.
    pub fail_fast: bool,
}

/// A message from a worker to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerMessage {
    /// The worker planned cells whose keys have this digest.
    Planned(Digest),
    /// It started this cell.
    Started(Key),
    /// It stopped working on this cell.
    Ended(Key, CellEnd),
    /// It ends, so that several workers run the cells that can run side by side.
    Divided(Division),
    /// It asks which of these cells it may run. The supervisor answers with their keys.
    Requested(Vec<Key>),
    /// Its progress, if the supervisor draws it.
    Progress(ProgressMessage),
}

/// The progress of a worker, from which the supervisor draws bars.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressMessage {
    /// This number of cells ended.
    CellsEnded(usize),
    /// A task began.
    TaskStarted {
        /// The number of the task in its worker.
        task: u64,
        /// The name of the task.
        name: String,
        /// The total units of work.
        total: u64,
        /// The name of the unit.
        unit: String,
    },
    /// A task did this many more units of work.
    TaskAdvanced(u64, u64),
    /// A task ended.
    TaskEnded(u64),
}

/// Sends messages to the supervisor. The default has no supervisor and sends nothing.
#[derive(Clone, Debug, Default)]
pub struct MessageSender(Option<Arc<Mutex<UnixStream>>>);

impl MessageSender {
    /// Creates a sender that writes to `socket`.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self(Some(Arc::new(Mutex::new(socket))))
    }

    /// Sends a message. If the supervisor is dead, the thread that receives its lines ends this process.
    pub fn send(&self, message: &WorkerMessage) {
        let Some(socket) = &self.0 else { return };
        let text = serde_json::to_string(message).expect("messages are plain JSON");
        let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = socket.write_all(format!("{text}\n").as_bytes());
    }
}
