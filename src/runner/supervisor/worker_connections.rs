//! The sockets through which the supervisor sends lines to the workers. After Ctrl-C or SIGTERM, the
//! supervisor sends the line `stop`, and after SIGUSR1 the line `checkpoint`.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::messages::WorkerAssignment;
use super::{CHECKPOINT, STOP};
use crate::runner::signals::{UserSignal, handle_signals};
use dtr_core::error::Result;

/// The sockets to the current workers. Each of these workers receives the user's requests.
#[derive(Clone, Default)]
pub(super) struct WorkerConnections(Arc<Mutex<WorkerSockets>>);

#[derive(Default)]
struct WorkerSockets {
    /// Whether the workers must stop.
    is_stopping: bool,
    /// The socket of each current worker, by the worker's number.
    sockets: BTreeMap<usize, UnixStream>,
}

impl WorkerSockets {
    /// Sends `stop` to the current workers. Ignores dead workers.
    fn stop_all(&mut self) {
        self.is_stopping = true;
        self.send_to_all(STOP);
    }

    fn send_to_all(&mut self, line: &str) {
        self.sockets.values_mut().for_each(|socket| write_line(socket, line));
    }
}

impl WorkerConnections {
    /// Creates the connections, without any worker. Installs a handler that forwards signals to all workers.
    ///
    /// Each Ctrl-C sends `stop`, so the second Ctrl-C ends the workers at once. SIGTERM sends `stop` only if
    /// `stop` was not sent before.
    pub(super) fn with_signal_handler() -> Result<Self> {
        let connections = Self::default();
        let handler = connections.clone();
        handle_signals(move |signal| match signal {
            UserSignal::Interrupt => handler.lock().stop_all(),
            UserSignal::Terminate => handler.stop_all(),
            UserSignal::Checkpoint => handler.lock().send_to_all(CHECKPOINT),
        })?;
        Ok(connections)
    }

    fn lock(&self) -> MutexGuard<'_, WorkerSockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `stop` to the current workers. Does nothing if `stop` was sent before.
    pub(super) fn stop_all(&self) {
        let mut workers = self.lock();
        if !workers.is_stopping {
            workers.stop_all();
        }
    }

    /// Adds a new worker, and sends the worker's assignment. If the workers must stop, also sends `stop`.
    pub(super) fn connect(
        &self,
        worker: usize,
        socket: &UnixStream,
        assignment: &WorkerAssignment,
    ) -> std::io::Result<()> {
        let mut workers = self.lock();
        let mut socket = socket.try_clone()?;
        let stop = if workers.is_stopping { STOP } else { "" };
        let assignment = serde_json::to_string(assignment).expect("assignments are plain JSON");
        write_line(&mut socket, &format!("{assignment}\n{stop}"));
        workers.sockets.insert(worker, socket);
        Ok(())
    }

    /// Sends a line to a worker. Does nothing if the worker has ended.
    pub(super) fn send(&self, worker: usize, line: &str) {
        if let Some(socket) = self.lock().sockets.get_mut(&worker) {
            write_line(socket, line);
        }
    }

    /// Closes the socket of a worker that has ended.
    pub(super) fn disconnect(&self, worker: usize) {
        self.lock().sockets.remove(&worker);
    }
}

/// Writes a line. Ignores an error, because writing fails only if the worker is dead. The worker's exit
/// status reports the crash.
fn write_line(socket: &mut UnixStream, line: &str) {
    let _ = socket.write_all(format!("{line}\n").as_bytes());
}
