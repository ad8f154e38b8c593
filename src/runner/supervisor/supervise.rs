//! The supervisor: the process that the user started. The supervisor starts worker processes, and a new
//! worker process after each crash.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;

use super::SUPERVISOR;
use super::crash_report::{CrashReport, is_user_signal, max_worker_peak_bytes};
use super::messages::{WorkerAssignment, WorkerMessage, WorkerRole};
use super::parallel::run_parallel_workers;
use super::stderr_tee::StderrTee;
use super::supervisor_state::SupervisorState;
use super::sweep_state::{CellStartTimes, SweepState};
use super::worker_bars::WorkerTaskBars;
use super::worker_connections::WorkerConnections;
use crate::runner::progress::ProgressDisplay;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::system_info::{oom_kill_count, running_program};

/// Runs the command of this process in a worker process. Starts a new worker process after each crash, and
/// several workers if the first worker asks for several. Returns the exit code of the last worker.
///
/// # Errors
/// Fails if a worker cannot be started, or if a user ends a worker by a signal. Also fails if a worker
/// crashes while it runs no cell, because the next worker would crash too.
pub fn supervise() -> Result<u8> {
    let supervisor =
        Supervisor { workers: WorkerConnections::with_signal_handler()?, state: Mutex::default() };
    let run_alone = |role| supervisor.run_to_end(&Worker { number: 0, role, display: None });
    let code = run_alone(WorkerRole::First)?;
    let division = supervisor.state().division.clone();
    match division.filter(|_| code == 0) {
        None => Ok(code),
        Some(division) => match run_parallel_workers(&supervisor, &division)? {
            0 => run_alone(WorkerRole::Last),
            code => Ok(code),
        },
    }
}

/// The supervisor of a sweep.
pub(super) struct Supervisor {
    workers: WorkerConnections,
    state: Mutex<SupervisorState>,
}

/// A worker. After each crash, a new process continues its work.
pub(super) struct Worker {
    /// The worker's number, counted from 0. Workers that run at the same time have different numbers.
    pub(super) number: usize,
    /// The part of the sweep that the worker runs.
    pub(super) role: WorkerRole,
    /// The display that shows the worker's messages and progress. `None` if the worker displays them itself.
    pub(super) display: Option<Arc<ProgressDisplay>>,
}

impl Worker {
    /// Redirects the standard error of the process that `command` starts. Redirects nothing if a single
    /// worker runs on a terminal.
    fn redirect_stderr(&self, command: &mut Command) -> std::io::Result<Option<StderrTee>> {
        match &self.display {
            Some(display) => StderrTee::attach_lines(command, Arc::clone(display)).map(Some),
            None => StderrTee::attach(command),
        }
    }
}

impl Supervisor {
    fn state(&self) -> MutexGuard<'_, SupervisorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the current workers.
    pub(super) fn stop_all(&self) {
        self.workers.stop_all();
    }

    /// Runs a worker to its end, in a new process after each crash. Returns the exit code of the last
    /// process.
    ///
    /// # Errors
    /// Fails as [`supervise`] does.
    pub(super) fn run_to_end(&self, worker: &Worker) -> Result<u8> {
        loop {
            let mut running = CellStartTimes::new();
            let num_kills_before = oom_kill_count();
            let (status, crash_line) = self.run_process(worker, &mut running)?;
            if let Some(code) = status.code() {
                return Ok(u8::try_from(code).unwrap_or(ErrorKind::Failed.exit_code()));
            }
            let signal = status.signal().unwrap_or_default();
            if signal == Signal::SIGUSR1 as i32 {
                // The signal ended the process, because the process had not installed its handler yet.
                continue;
            }
            if is_user_signal(signal) {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    "interrupted; run the same command again to resume",
                ));
            }
            let num_kills = num_kills_before.zip(oom_kill_count());
            let was_out_of_memory = num_kills.is_some_and(|(before, now)| now > before);
            let peak_memory_bytes = max_worker_peak_bytes();
            let reason = CrashReport { signal, crash_line, peak_memory_bytes, was_out_of_memory }.describe();
            if !self.state().assign_crash(worker.number, &running, &reason) {
                return Err(Error::environment(format!("the sweep crashed while it ran no cell: {reason}"))
                    .hint("check that memory is free, and run the same command again"));
            }
        }
    }

    /// Runs one process of a worker to its end. Updates `running`, which holds the cells that the process is
    /// running. Returns the exit status of the process and the line from [`StderrTee::crash_line`].
    fn run_process(
        &self,
        worker: &Worker,
        running: &mut CellStartTimes,
    ) -> Result<(ExitStatus, Option<String>)> {
        let failure = |cause| Error::environment("cannot start a worker process").with_source(cause);
        let (socket, worker_socket) = UnixStream::pair().map_err(failure)?;
        let mut command = worker_command(worker_socket.into());
        let tee = worker.redirect_stderr(&mut command).map_err(failure)?;
        let mut process = command.spawn().map_err(failure)?;
        // The command holds copies of the worker's ends of the pipe and the socket. Drop these copies, so
        // that both streams end when the worker ends.
        drop(command);
        let assignment = WorkerAssignment { role: worker.role, sweep_state: self.sweep_state(worker.role) };
        self.workers.connect(worker.number, &socket, &assignment).map_err(failure)?;
        let mut bars = worker.display.clone().map(WorkerTaskBars::new);
        for line in BufReader::new(&socket).lines() {
            let Ok(message) = line.map(|line| serde_json::from_str(&line)) else { break };
            // A crash may cut off the last line.
            if let Ok(message) = message {
                self.handle(worker.number, message, running, bars.as_mut());
            }
        }
        self.workers.disconnect(worker.number);
        let status = process.wait().map_err(failure)?;
        Ok((status, tee.and_then(StderrTee::crash_line)))
    }

    /// Returns the state of the sweep for a worker that starts. If workers run in parallel, the supervisor
    /// reports a crash without a record only to the next worker that starts. That worker records the crash.
    fn sweep_state(&self, role: WorkerRole) -> SweepState {
        match role {
            WorkerRole::Parallel { .. } => self.state().sweep.move_crashes_to_copy(),
            WorkerRole::First | WorkerRole::Last => self.state().sweep.clone(),
        }
    }

    fn handle(
        &self,
        worker: usize,
        message: WorkerMessage,
        running: &mut CellStartTimes,
        bars: Option<&mut WorkerTaskBars>,
    ) {
        match message {
            WorkerMessage::Divided(division) => self.state().division = Some(division),
            WorkerMessage::Requested(keys) => {
                let granted = self.state().grant(worker, keys);
                let line = serde_json::to_string(&granted).expect("keys are plain JSON");
                self.workers.send(worker, &line);
            }
            WorkerMessage::Progress(progress) => {
                if let Some(bars) = bars {
                    bars.apply(progress);
                }
            }
            message => self.state().sweep.apply_message(message, running),
        }
    }
}

/// Returns the command that starts this program as a worker with `socket` as its standard input.
fn worker_command(socket: OwnedFd) -> Command {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    let mut command = Command::new(running_program());
    command.arg0(name).args(arguments).env(SUPERVISOR, std::process::id().to_string()).stdin(socket);
    command
}
