//! How work tells of its progress, without knowing who listens.

use dtr_core::error::{Error, ErrorKind, Result};

/// Hears how far a piece of work has come, and says whether to go on.
pub trait Observer: Sync {
    /// `amount` more of the work's unit (tokens, evaluations) is done.
    fn advance(&self, amount: u64);

    /// A line worth saying, such as a round's outcome.
    fn say(&self, line: &str);

    /// Whether the user asked to stop.
    fn interrupted(&self) -> bool;

    /// An error if the user asked to stop; called where stopping loses nothing.
    fn check(&self) -> Result<()> {
        if self.interrupted() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted; run the same command again to resume",
            ));
        }
        Ok(())
    }
}

/// Hears nothing, and never stops anything: for tests.
pub struct Silent;

impl Observer for Silent {
    fn advance(&self, _: u64) {}

    fn say(&self, _: &str) {}

    fn interrupted(&self) -> bool {
        false
    }
}
