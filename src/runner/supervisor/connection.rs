//! The worker's connection to its supervisor.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use super::messages::{MessageSender, SweepDivision, WorkerAssignment, WorkerMessage, WorkerRole};
use super::sweep_state::{SweepState, WorkEnd};
use super::{CHECKPOINT, STOP, SUPERVISOR};
use crate::runner::signals::{UserRequests, UserSignal, handle_signals};
use crate::store::CellKey;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::files::Digest;

/// The connection of a worker process to its supervisor. The default value has no supervisor, and sends
/// nothing.
#[derive(Default)]
pub struct SupervisorConnection {
    sender: MessageSender,
    /// Receives the keys of the cells that the supervisor grants.
    grants: Option<Mutex<Receiver<Vec<CellKey>>>>,
    role: WorkerRole,
    sweep_state: SweepState,
    requests: UserRequests,
}

impl SupervisorConnection {
    /// Connects to the supervisor. Returns `None` if this process was not started as a worker.
    ///
    /// # Errors
    /// Fails if the supervisor is dead, or if the environment names a supervisor that is not the parent of
    /// this process.
    pub fn connect() -> Result<Option<Self>> {
        let Some(supervisor) = std::env::var_os(SUPERVISOR) else { return Ok(None) };
        let no_supervisor = || {
            let message = format!("`{SUPERVISOR}` does not name a running process that started this process");
            Error::new(ErrorKind::Interrupted, message).hint(format!("unset `{SUPERVISOR}`"))
        };
        set_parent_death_signal();
        if supervisor.to_str() != Some(&parent_id().to_string()) {
            return Err(no_supervisor());
        }
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| no_supervisor())?;
        let socket = UnixStream::from(input);
        let mut lines = BufReader::new(socket.try_clone().map_err(|_| no_supervisor())?);
        let mut assignment = String::new();
        lines.read_line(&mut assignment).map_err(|_| no_supervisor())?;
        let WorkerAssignment { role, sweep_state } =
            serde_json::from_str(&assignment).map_err(|_| no_supervisor())?;
        let requests = UserRequests::default();
        let target = requests.clone();
        // A terminal sends Ctrl-C to both processes, and Slurm sends each signal to both. For Ctrl-C and
        // SIGUSR1, the supervisor sends a line. A user may send SIGTERM to a worker alone.
        handle_signals(move |signal| {
            if signal == UserSignal::Terminate {
                target.terminate();
            }
        })?;
        let target = requests.clone();
        let (grant_sender, grants) = channel();
        std::thread::spawn(move || receive_lines(lines, &target, &grant_sender));
        let (sender, grants) = (MessageSender::new(socket), Some(Mutex::new(grants)));
        Ok(Some(Self { sender, grants, role, sweep_state, requests }))
    }

    /// Returns the part of the sweep that this process runs.
    pub fn role(&self) -> WorkerRole {
        self.role
    }

    /// Returns the sender of messages to the supervisor.
    pub(in crate::runner) fn sender(&self) -> &MessageSender {
        &self.sender
    }

    /// Returns the requests of the user, which the supervisor forwards.
    pub fn user_requests(&self) -> UserRequests {
        self.requests.clone()
    }

    /// Returns the state of the sweep when this worker started.
    pub fn sweep_state(&self) -> &SweepState {
        &self.sweep_state
    }

    /// Sends the digest of the planned cells' keys to the supervisor.
    ///
    /// # Errors
    /// Fails if an earlier worker of the sweep planned different cells. This happens if the manifest, or a
    /// file that the manifest names, has changed since the sweep began.
    pub fn report_plan(&self, keys: impl Iterator<Item = CellKey>) -> Result<()> {
        let digest = Digest::hash(keys.map(|key| key.to_string()).collect::<String>().as_bytes());
        self.send(&WorkerMessage::Planned(digest));
        let sweep = &self.sweep_state;
        if sweep.plan.is_none_or(|planned| planned == digest) {
            return Ok(());
        }
        let mut crashes = sweep.crashed.values().chain(sweep.suspects.values());
        let crash = crashes.next().map(|crash| format!("; before that, a worker crashed: {}", crash.reason));
        Err(Error::manifest(format!(
            "the manifest, or a file that it names, has changed since the sweep began{}",
            crash.unwrap_or_default()
        ))
        .hint("run the same command again"))
    }

    /// Tells the supervisor that this process starts a cell.
    pub fn report_start(&self, key: &CellKey) {
        self.send(&WorkerMessage::Started(*key));
    }

    /// Tells the supervisor that this process has stopped working on a cell.
    pub fn report_end(&self, key: &CellKey, end: WorkEnd) {
        self.send(&WorkerMessage::Ended(*key, end));
    }

    /// Tells the supervisor to start several workers, which divide the cells that can run in parallel.
    pub fn request_parallel_workers(&self, division: SweepDivision) {
        self.send(&WorkerMessage::Divided(division));
    }

    /// Returns the keys in `keys` of the cells that this process may run. If several workers run, this
    /// process asks the supervisor, which grants each cell to one worker. A single worker may run all cells.
    pub fn request_cells(&self, keys: Vec<CellKey>) -> Vec<CellKey> {
        let (WorkerRole::Parallel { .. }, Some(grants)) = (self.role, &self.grants) else { return keys };
        let grants = grants.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(&WorkerMessage::Requested(keys));
        // If the supervisor is dead, `receive_lines` ends this process.
        grants.recv().unwrap_or_default()
    }

    fn send(&self, message: &WorkerMessage) {
        self.sender.send(message);
    }
}

/// Reads the lines that the supervisor sends. For each line `stop`, requests a stop, and for each line
/// `checkpoint`, a checkpoint. For each line with the keys of granted cells, sends the keys to `grants`. Ends
/// this process when the supervisor has ended.
fn receive_lines(lines: impl BufRead, requests: &UserRequests, grants: &Sender<Vec<CellKey>>) {
    for line in lines.lines().map_while(std::io::Result::ok) {
        match serde_json::from_str(&line) {
            _ if line == STOP => requests.request_stop(),
            _ if line == CHECKPOINT => requests.request_checkpoint(),
            Ok(keys) => drop(grants.send(keys)),
            // The line after a worker's assignment is empty, or it is `stop`.
            Err(_) => {}
        }
    }
    std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
}

/// Asks Linux to kill this process as soon as the supervisor ends. On other systems, [`receive_lines`] ends
/// this process a little later.
///
/// Also sets the name of the process to `dtr`. Without this call, the name would be `exe`, because the
/// supervisor started the program as `/proc/self/exe`.
#[cfg(target_os = "linux")]
fn set_parent_death_signal() {
    use nix::sys::{prctl, signal::Signal};
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let _ = prctl::set_name(c"dtr");
}

#[cfg(not(target_os = "linux"))]
fn set_parent_death_signal() {}
