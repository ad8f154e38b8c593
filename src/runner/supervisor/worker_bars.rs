//! Draws the progress of one of several workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use indicatif::ProgressBar;

use super::messages::ProgressMessage;
use crate::runner::progress::ProgressDisplay;

/// The progress bars of a worker's tasks. The bars disappear when the worker ends.
pub(super) struct WorkerTaskBars {
    display: Arc<ProgressDisplay>,
    tasks: BTreeMap<u64, ProgressBar>,
}

impl WorkerTaskBars {
    /// Creates the bars of a worker that has no task yet.
    pub(super) fn new(display: Arc<ProgressDisplay>) -> Self {
        Self { display, tasks: BTreeMap::new() }
    }

    /// Draws the progress that a message of the worker reports.
    pub(super) fn apply(&mut self, message: ProgressMessage) {
        match message {
            ProgressMessage::CellsEnded(count) => self.display.add_done_cells(count),
            ProgressMessage::TaskStarted { task, name, total, unit } => {
                self.tasks.insert(task, self.display.add_bar(&name, total, &unit));
            }
            ProgressMessage::TaskAdvanced(task, amount) => {
                self.tasks.get(&task).into_iter().for_each(|bar| bar.inc(amount));
            }
            ProgressMessage::TaskEnded(task) => {
                self.tasks.remove(&task).into_iter().for_each(|bar| bar.finish_and_clear());
            }
        }
    }
}

impl Drop for WorkerTaskBars {
    fn drop(&mut self) {
        self.tasks.values().for_each(ProgressBar::finish_and_clear);
    }
}
