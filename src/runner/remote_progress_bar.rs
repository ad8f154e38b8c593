//! Sends the progress of a worker's task to the supervisor, which draws the progress bar.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::supervisor::{MessageSender, ProgressMessage, WorkerMessage};

/// Minimum time between two messages about the same task.
const MIN_MESSAGE_INTERVAL: Duration = Duration::from_millis(200);

/// A task of this worker whose progress the supervisor draws.
pub(super) struct RemoteProgressBar {
    sender: MessageSender,
    task: u64,
    /// Time of the last message, and number of units done since then.
    unsent: Mutex<(Instant, u64)>,
}

impl RemoteProgressBar {
    /// Tells the supervisor that a task begins.
    pub(super) fn start(sender: &MessageSender, name: &str, total: u64, unit: &str) -> Self {
        static NUM_TASKS: AtomicU64 = AtomicU64::new(0);
        let task = NUM_TASKS.fetch_add(1, Ordering::Relaxed);
        let (name, unit) = (name.to_owned(), unit.to_owned());
        let message = ProgressMessage::TaskStarted { task, name, total, unit };
        sender.send(&WorkerMessage::Progress(message));
        Self { sender: sender.clone(), task, unsent: Mutex::new((Instant::now(), 0)) }
    }

    /// Adds `amount` units of work. Sends the units to the supervisor if the last message is at least
    /// [`MIN_MESSAGE_INTERVAL`] old.
    pub(super) fn advance(&self, amount: u64) {
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        unsent.1 += amount;
        if unsent.0.elapsed() >= MIN_MESSAGE_INTERVAL {
            let amount = std::mem::take(&mut unsent.1);
            self.sender.send(&WorkerMessage::Progress(ProgressMessage::TaskAdvanced(self.task, amount)));
            unsent.0 = Instant::now();
        }
    }
}

impl Drop for RemoteProgressBar {
    fn drop(&mut self) {
        self.sender.send(&WorkerMessage::Progress(ProgressMessage::TaskEnded(self.task)));
    }
}
