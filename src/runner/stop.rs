//! Ctrl-C: once finishes the step and keeps it, twice stops now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dtr_core::error::{Error, Result};

/// Hears that the user wants to stop.
#[derive(Clone, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Listens to Ctrl-C from now on.
    pub fn listen() -> Result<Self> {
        let stopper = Self::default();
        let asked = stopper.clone();
        on_interrupt(move || asked.ask())?;
        Ok(stopper)
    }

    /// The user asks to stop; the second time that is now.
    pub fn ask(&self) {
        if self.0.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(dtr_core::error::ErrorKind::Interrupted.exit_code()));
        }
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Does `handler` at each Ctrl-C, in place of ending the process.
pub fn on_interrupt(handler: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(handler)
        .map_err(|cause| Error::environment("cannot listen to Ctrl-C").with_source(cause))
}
