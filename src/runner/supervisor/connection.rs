//! The worker's connection to its supervisor.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::sync::{Mutex, PoisonError};

use super::previous_attempts::{CellEnd, PreviousAttempts, WorkerMessage};
use super::{STOP, SUPERVISOR};
use crate::runner::stop::{StopFlag, on_interrupt};
use crate::store::Key;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::files::Digest;

/// The connection of a worker process to its supervisor. The default has no supervisor.
#[derive(Default)]
pub struct SupervisorConnection {
    socket: Option<Mutex<UnixStream>>,
    previous_attempts: PreviousAttempts,
    stop_flag: StopFlag,
}

impl SupervisorConnection {
    /// Connects to the supervisor. Returns `None` if this process was not started as a worker.
    ///
    /// # Errors
    /// Fails if the supervisor is dead, or if the environment names a process that is not the parent of this
    /// one.
    pub fn connect() -> Result<Option<Self>> {
        let Some(supervisor) = std::env::var_os(SUPERVISOR) else { return Ok(None) };
        let no_supervisor = || {
            let message =
                format!("the process that `{SUPERVISOR}` names did not start this one, or has ended");
            Error::new(ErrorKind::Interrupted, message).hint(format!("unset `{SUPERVISOR}`"))
        };
        set_parent_death_signal();
        if supervisor.to_str() != Some(&parent_id().to_string()) {
            return Err(no_supervisor());
        }
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| no_supervisor())?;
        let socket = UnixStream::from(input);
        let mut lines = BufReader::new(socket.try_clone().map_err(|_| no_supervisor())?);
        let mut attempts = String::new();
        lines.read_line(&mut attempts).map_err(|_| no_supervisor())?;
        let previous_attempts = serde_json::from_str(&attempts).map_err(|_| no_supervisor())?;
        // A terminal sends Ctrl-C to both processes. The worker ignores it, because the supervisor forwards it.
        on_interrupt(|| {})?;
        let stop_flag = StopFlag::default();
        let flag = stop_flag.clone();
        std::thread::spawn(move || receive_stops(lines, &flag));
        Ok(Some(Self { socket: Some(Mutex::new(socket)), previous_attempts, stop_flag }))
    }

    /// Returns the flag that is set when the user asks to stop.
    pub fn stop_flag(&self) -> StopFlag {
        self.stop_flag.clone()
    }

    /// Returns the attempts of earlier workers at the sweep's cells.
    pub fn previous_attempts(&self) -> &PreviousAttempts {
        &self.previous_attempts
    }

    /// Tells the supervisor the keys of the planned cells.
    ///
    /// # Errors
    /// Fails if an earlier worker of the sweep planned other cells.
    pub fn report_plan(&self, keys: impl Iterator<Item = Key>) -> Result<()> {
        let digest = Digest::hash(keys.map(|key| key.to_string()).collect::<String>().as_bytes());
        self.send(&WorkerMessage::Planned(digest));
        let previous = &self.previous_attempts;
        if previous.plan.is_none_or(|planned| planned == digest) {
            return Ok(());
        }
        let mut crashes = previous.crashed.values().chain(previous.suspects.values());
        let crash = crashes.next().map(|crash| format!("; a crash before that: {}", crash.reason));
        Err(Error::manifest(format!(
            "the manifest, or a file that it names, has changed since the sweep began{}",
            crash.unwrap_or_default()
        ))
        .hint("run the same command again"))
    }

    /// Tells the supervisor that this process starts a cell.
    pub fn report_start(&self, key: &Key) {
        self.send(&WorkerMessage::Started(*key));
    }

    /// Tells the supervisor that this process stopped working on a cell.
    pub fn report_end(&self, key: &Key, end: CellEnd) {
        self.send(&WorkerMessage::Ended(*key, end));
    }

    fn send(&self, message: &WorkerMessage) {
        let Some(socket) = &self.socket else { return };
        let text = serde_json::to_string(message).expect("keys are plain JSON");
        // If the supervisor is dead, `receive_stops` ends this process.
        let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = socket.write_all(format!("{text}\n").as_bytes());
    }
}

/// Requests a stop from `stop_flag` for each `stop` that the supervisor sends. Ends this process when the
/// supervisor has ended.
fn receive_stops(lines: impl BufRead, stop_flag: &StopFlag) {
    let stops = lines.lines().map_while(std::io::Result::ok).filter(|line| line == STOP);
    stops.for_each(|_| stop_flag.request_stop());
    std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
}

/// Asks Linux to end this process at once when the supervisor ends. On other systems, the end of the stream
/// ends this process a little later.
///
/// Also sets the process's name, since the program was started as `/proc/self/exe`.
#[cfg(target_os = "linux")]
fn set_parent_death_signal() {
    use nix::sys::{prctl, signal::Signal};
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let _ = prctl::set_name(c"dtr");
}

#[cfg(not(target_os = "linux"))]
fn set_parent_death_signal() {}
