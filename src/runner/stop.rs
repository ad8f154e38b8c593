//! Handles Ctrl-C. After the first Ctrl-C, the running work saves its progress and stops. The second Ctrl-C
//! ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dtr_core::error::{Error, Result};

/// A flag that Ctrl-C sets.
#[derive(Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Returns a flag that Ctrl-C sets from now on.
    ///
    /// # Errors
    /// Fails if the handler cannot be installed.
    pub fn listen() -> Result<Self> {
        let stop_flag = Self::default();
        let flag = stop_flag.clone();
        on_interrupt(move || flag.request_stop())?;
        Ok(stop_flag)
    }

    /// Sets the flag. Ends the process if the flag is set already.
    pub fn request_stop(&self) {
        if self.0.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(dtr_core::error::ErrorKind::Interrupted.exit_code()));
        }
    }

    /// Returns whether the user has asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Installs `handler`, which then runs at each Ctrl-C. Ctrl-C no longer ends the process by itself.
///
/// # Errors
/// Fails if the handler cannot be installed.
pub fn on_interrupt(handler: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(handler)
        .map_err(|cause| Error::environment("cannot install a handler for Ctrl-C").with_source(cause))
}
