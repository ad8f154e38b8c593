//! Ctrl-C: once finishes the step and keeps it, twice stops now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Hears that the user wants to stop.
#[derive(Clone, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Listens to Ctrl-C and termination from now on.
    pub fn listen() -> Result<Self> {
        let stopper = Self::default();
        let flag = stopper.0.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(crate::error::Kind::Interrupted.exit_code()));
            }
        })
        .map_err(|cause| Error::environment("cannot listen to Ctrl-C").because(cause))?;
        Ok(stopper)
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
