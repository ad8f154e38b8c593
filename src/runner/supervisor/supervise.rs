//! The supervisor, the process that the user started. It starts a worker process, and a new one after each
//! crash.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::crash_report::{CrashReport, is_user_signal, peak_memory_bytes};
use super::previous_attempts::{CellStartTimes, PreviousAttempts};
use super::stderr_tee::StderrTee;
use super::{STOP, SUPERVISOR};
use crate::runner::stop::on_interrupt;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::process::oom_kill_count;

/// Forwards Ctrl-C to the current worker.
#[derive(Clone, Default)]
struct InterruptForwarder(Arc<Mutex<WorkerSocket>>);

/// The socket to the current worker.
#[derive(Default)]
struct WorkerSocket {
    /// Whether the user has pressed Ctrl-C.
    is_interrupted: bool,
    /// The socket of the current worker.
    socket: Option<UnixStream>,
}

/// Runs this command in a worker, and in a new worker after each crash. Returns the exit code of the last
/// worker.
///
/// # Errors
/// Fails if a worker cannot be started, or if a worker crashes while it works on no cell, because the next
/// worker would crash too.
pub fn supervise() -> Result<u8> {
    let forwarder = InterruptForwarder::listen()?;
    let mut attempts = PreviousAttempts::default();
    loop {
        let mut running = CellStartTimes::new();
        let num_kills_before = oom_kill_count();
        let (status, last_line) = run_worker(&mut attempts, &mut running, &forwarder)?;
        if let Some(code) = status.code() {
            return Ok(u8::try_from(code).unwrap_or(ErrorKind::Failed.exit_code()));
        }
        let signal = status.signal().unwrap_or_default();
        if is_user_signal(signal) {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted; run the same command again to resume",
            ));
        }
        let num_kills = num_kills_before.zip(oom_kill_count());
        let was_out_of_memory = num_kills.is_some_and(|(before, now)| now > before);
        let peak_memory_bytes = peak_memory_bytes();
        let reason = CrashReport { signal, last_line, peak_memory_bytes, was_out_of_memory }.describe();
        if !attempts.assign_crash(&running, &reason) {
            return Err(Error::environment(format!("the sweep crashed while it ran no cell: {reason}"))
                .hint("check that memory is free, and run the same command again"));
        }
    }
}

/// Runs one worker to its end. Returns its exit status, and its last line on standard error.
fn run_worker(
    attempts: &mut PreviousAttempts,
    running: &mut CellStartTimes,
    forwarder: &InterruptForwarder,
) -> Result<(ExitStatus, Option<String>)> {
    let failure = |cause| Error::environment("cannot start a worker process").with_source(cause);
    let (socket, worker_socket) = UnixStream::pair().map_err(failure)?;
    let mut command = worker_command(worker_socket.into());
    let tee = StderrTee::attach(&mut command).map_err(failure)?;
    let mut worker = command.spawn().map_err(failure)?;
    // The command holds the worker's ends of pipe and socket, which must close when the worker ends.
    drop(command);
    forwarder.connect(&socket, attempts).map_err(failure)?;
    for line in BufReader::new(&socket).lines() {
        let Ok(message) = line.map(|line| serde_json::from_str(&line)) else { break };
        // A crash may cut off the last line.
        if let Ok(message) = message {
            attempts.apply_message(message, running);
        }
    }
    forwarder.lock().socket = None;
    let status = worker.wait().map_err(failure)?;
    Ok((status, tee.and_then(StderrTee::last_line)))
}

/// Returns the command that starts this program as a worker with `socket` as its standard input.
fn worker_command(socket: OwnedFd) -> Command {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    let mut command = Command::new(own_executable());
    command.arg0(name).args(arguments).env(SUPERVISOR, std::process::id().to_string()).stdin(socket);
    command
}

/// Returns a path of the running program that stays valid if the program's file is replaced.
fn own_executable() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    match running.exists() {
        true => running,
        false => std::env::current_exe().unwrap_or(running),
    }
}

impl InterruptForwarder {
    /// Handles Ctrl-C from now on.
    fn listen() -> Result<Self> {
        let forwarder = Self::default();
        let handler = forwarder.clone();
        on_interrupt(move || handler.forward())?;
        Ok(forwarder)
    }

    fn lock(&self) -> MutexGuard<'_, WorkerSocket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `stop` to the current worker. Ignores a worker that is dead.
    fn forward(&self) {
        let mut worker = self.lock();
        worker.is_interrupted = true;
        let _ = worker.socket.as_mut().map(|socket| writeln!(socket, "{STOP}"));
    }

    /// Sends the previous attempts to a new worker, which receives `stop` from now on. If the user has already
    /// pressed Ctrl-C, sends `stop` at once.
    fn connect(&self, mut socket: &UnixStream, attempts: &PreviousAttempts) -> std::io::Result<()> {
        let mut worker = self.lock();
        worker.socket = Some(socket.try_clone()?);
        let stop = if worker.is_interrupted { STOP } else { "" };
        let attempts = serde_json::to_string(attempts).expect("attempts are plain JSON");
        // Writing to a worker that died fails, and its exit status reports the crash.
        let _ = writeln!(socket, "{attempts}\n{stop}");
        Ok(())
    }
}
