//! The sockets through which the supervisor sends lines to the workers. After Ctrl-C, the supervisor sends
//! the line `stop`.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::STOP;
use super::messages::WorkerAssignment;
use crate::runner::stop::on_interrupt;
use dtr_core::error::Result;

/// The sockets to the current workers. After Ctrl-C, each of these workers receives the line `stop`.
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
        self.sockets.values_mut().for_each(|socket| write_line(socket, STOP));
    }
}

impl WorkerConnections {
    /// Creates the connections, without any worker. Installs a handler that forwards Ctrl-C to all workers.
    pub(super) fn with_interrupt_handler() -> Result<Self> {
        let connections = Self::default();
        let handler = connections.clone();
        on_interrupt(move || handler.lock().stop_all())?;
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
