//! Handles the signals through which a user or a scheduler of jobs controls a run.
//!
//! After the first Ctrl-C or SIGTERM, the running work saves its progress and stops. A second Ctrl-C ends the
//! process at once. A second SIGTERM changes nothing, because Slurm may send SIGTERM twice. After SIGUSR1,
//! the running training writes a checkpoint and continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use signal_hook::consts::signal::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use dtr_core::error::{Error, ErrorKind, Result};

/// A signal that a run handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserSignal {
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1, which asks for a checkpoint.
    Checkpoint,
}

/// The user's requests to the running work. Clones share the requests.
#[derive(Clone, Default)]
pub struct UserRequests {
    is_stop_requested: Arc<AtomicBool>,
    is_terminated: Arc<AtomicBool>,
    num_checkpoints: Arc<AtomicU64>,
}

impl UserRequests {
    /// Installs a signal handler, and returns the requests that the handler updates.
    ///
    /// # Errors
    /// Fails if the handler cannot be installed.
    pub fn listen() -> Result<Self> {
        let requests = Self::default();
        let target = requests.clone();
        handle_signals(move |signal| match signal {
            UserSignal::Interrupt => target.request_stop(),
            UserSignal::Terminate => target.terminate(),
            UserSignal::Checkpoint => target.request_checkpoint(),
        })?;
        Ok(requests)
    }

    /// Asks the work to stop. Ends the process if a stop was requested before.
    pub fn request_stop(&self) {
        if self.is_stop_requested.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
        }
    }

    /// Asks the work to stop after SIGTERM. Never ends the process, even if it is called twice. SIGTERM does
    /// not count as a Ctrl-C: after SIGTERM, a first Ctrl-C does not end the process, and a second Ctrl-C
    /// does.
    pub fn terminate(&self) {
        self.is_terminated.store(true, Ordering::SeqCst);
    }

    /// Asks the work to write a checkpoint and to continue.
    pub fn request_checkpoint(&self) {
        self.num_checkpoints.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns whether the work must stop.
    pub fn must_stop(&self) -> bool {
        self.is_stop_requested.load(Ordering::SeqCst) || self.is_terminated.load(Ordering::SeqCst)
    }

    /// Returns how often a checkpoint was requested so far.
    pub fn num_checkpoints(&self) -> u64 {
        self.num_checkpoints.load(Ordering::SeqCst)
    }
}

/// Starts one thread that calls `handler` for each SIGINT, SIGTERM and SIGUSR1 from now on. These signals
/// then no longer end the process by themselves.
///
/// # Errors
/// Fails if the handler cannot be installed.
pub(super) fn handle_signals(handler: impl Fn(UserSignal) + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])
        .map_err(|cause| Error::environment("cannot install a handler for signals").with_source(cause))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            handler(match signal {
                SIGINT => UserSignal::Interrupt,
                SIGTERM => UserSignal::Terminate,
                _ => UserSignal::Checkpoint,
            });
        }
    });
    Ok(())
}
