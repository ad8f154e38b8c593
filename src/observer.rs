//! Progress reports of long-running work, and its interruption by the user.

use dtr_core::error::{Error, Result};

/// Receives the progress of long-running work and tells the work when to stop.
///
/// Algorithms call the observer. The runner implements the observer with progress bars, logs and a Ctrl-C
/// handler.
pub trait Observer: Sync {
    /// Reports that `amount` more units of work (tokens, evaluations) are done.
    fn advance(&self, amount: u64);

    /// Reports a message for the user, such as the result of a search round.
    fn message(&self, text: &str);

    /// Reports that a checkpoint is about to be written. The observer can save its own data first, such as
    /// the resource usage so far.
    ///
    /// # Errors
    /// Fails if the observer cannot save its data.
    fn before_checkpoint(&self) -> Result<()> {
        Ok(())
    }

    /// Returns whether the user asked to stop.
    fn is_interrupted(&self) -> bool;

    /// Returns how often the user asked for a checkpoint so far. A training compares this number with the
    /// number at its start, because several trainings may run at the same time.
    fn num_checkpoint_requests(&self) -> u64 {
        0
    }

    /// Returns an error if the user asked to stop. Algorithms call this only where a stop loses no progress.
    ///
    /// # Errors
    /// Fails with [`Error::interrupted`] if the user asked to stop.
    fn check_interrupted(&self) -> Result<()> {
        if self.is_interrupted() { Err(Error::interrupted()) } else { Ok(()) }
    }
}

/// An observer that ignores all reports and never stops the work, for tests.
pub struct NullObserver;

impl Observer for NullObserver {
    fn advance(&self, _: u64) {}

    fn message(&self, _: &str) {}

    fn is_interrupted(&self) -> bool {
        false
    }
}
