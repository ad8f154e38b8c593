//! The state of a sweep: the cells that the sweep's workers finished so far, and the cells that crashed a
//! worker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::messages::WorkerMessage;
use crate::store::CellKey;
use dtr_core::files::Digest;

/// How a worker stopped working on a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkEnd {
    /// The worker recorded a result.
    Done,
    /// The worker recorded a failure.
    Failed,
    /// The worker recorded nothing, so another worker may run the cell.
    Released,
}

/// The crash of a worker that worked on a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerCrash {
    /// The probable cause, in one line.
    pub reason: String,
    /// Seconds from the start of the cell to the crash.
    pub seconds: f64,
}

/// The state of a sweep's cells: the results and the crashes of the sweep's workers so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepState {
    /// The digest of the planned cells' keys. `None` if no worker has reported its plan yet.
    pub plan: Option<Digest>,
    /// Cells that this sweep has done.
    pub done: BTreeSet<CellKey>,
    /// Cells that failed in this sweep. The sweep does not run them again.
    pub failed: BTreeSet<CellKey>,
    /// Cells that crashed a worker. The next worker records a failure for each of these cells.
    pub crashed: BTreeMap<CellKey, WorkerCrash>,
    /// Cells that ran together when a worker crashed. Any of these cells may have caused the crash. The next
    /// worker logs the crash.
    pub suspects: BTreeMap<CellKey, WorkerCrash>,
    /// Cells that run one at a time, because one of these cells may have crashed a worker.
    pub isolated: BTreeSet<CellKey>,
}

/// The start time of each cell that a worker is running.
pub(super) type CellStartTimes = BTreeMap<CellKey, Instant>;

impl SweepState {
    /// Returns whether a cell must run alone, and not together with the other cells of its group.
    pub fn is_isolated(&self, key: &CellKey) -> bool {
        self.isolated.contains(key) || self.suspects.contains_key(key)
    }

    /// Returns whether this cell failed or crashed a worker in this sweep.
    pub fn has_failed(&self, key: &CellKey) -> bool {
        self.failed.contains(key) || self.crashed.contains_key(key)
    }

    /// Returns whether any cell failed or crashed a worker in this sweep.
    pub(super) fn has_failures(&self) -> bool {
        !self.failed.is_empty() || !self.crashed.is_empty()
    }

    /// Returns whether this cell is done or failed. The sweep does not run such a cell again.
    pub(super) fn has_ended(&self, key: &CellKey) -> bool {
        self.done.contains(key) || self.has_failed(key)
    }

    /// Returns a copy for one of several workers. This worker writes the records of the crashes that the
    /// copy lists. Removes these crashes from `self`, so that no other worker records them.
    pub(super) fn move_crashes_to_copy(&mut self) -> Self {
        let sweep = self.clone();
        self.failed.extend(std::mem::take(&mut self.crashed).into_keys());
        self.isolated.extend(std::mem::take(&mut self.suspects).into_keys());
        sweep
    }

    /// Updates the state after a worker's message about its plan or a cell.
    pub(super) fn apply_message(&mut self, message: WorkerMessage, running: &mut CellStartTimes) {
        match message {
            WorkerMessage::Planned(digest) => self.plan = Some(digest),
            WorkerMessage::Started(key) => drop(running.insert(key, Instant::now())),
            WorkerMessage::Ended(key, end) => {
                running.remove(&key);
                self.crashed.remove(&key);
                if self.suspects.remove(&key).is_some() {
                    self.isolated.insert(key);
                }
                match end {
                    WorkEnd::Done => drop(self.done.insert(key)),
                    WorkEnd::Failed => drop(self.failed.insert(key)),
                    WorkEnd::Released => {}
                }
            }
            WorkerMessage::Divided(_) | WorkerMessage::Requested(_) | WorkerMessage::Progress(_) => {}
        }
    }

    /// Assigns the crash of a worker to the cells that the worker was running. Returns whether the worker was
    /// running any cell.
    ///
    /// If one cell was running, that cell crashed the worker. If several cells were running together, any of
    /// these cells may have crashed the worker, so each of them runs alone from now on. If isolated cells
    /// nevertheless ran together, all of them count as crashed. Every crash removes a cell from the sweep or
    /// from a group. So the number of crashes is limited.
    pub(super) fn assign_crash(&mut self, running: &CellStartTimes, reason: &str) -> bool {
        let is_known = running.len() == 1 || running.keys().all(|key| self.is_isolated(key));
        let crash = |start: &Instant| WorkerCrash {
            reason: reason.to_owned(),
            seconds: start.elapsed().as_secs_f64(),
        };
        let crashes = running.iter().map(|(key, start)| (*key, crash(start)));
        match is_known {
            true => self.crashed.extend(crashes),
            false => self.suspects.extend(crashes),
        }
        !running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> CellKey {
        Digest::hash(name.as_bytes()).to_string().parse().unwrap()
    }

    fn start(sweep: &mut SweepState, names: &[&str]) -> CellStartTimes {
        let mut running = CellStartTimes::new();
        names.iter().for_each(|name| sweep.apply_message(WorkerMessage::Started(key(name)), &mut running));
        running
    }

    #[test]
    fn a_crash_is_assigned_to_the_only_running_cell_until_it_is_recorded() {
        let mut sweep = SweepState::default();
        let mut running = start(&mut sweep, &["a", "b"]);
        sweep.apply_message(WorkerMessage::Ended(key("b"), WorkEnd::Done), &mut running);
        assert!(sweep.assign_crash(&running, "killed"));
        assert_eq!(sweep.crashed.keys().collect::<Vec<_>>(), [&key("a")]);
        assert!(sweep.has_failed(&key("a")) && !sweep.has_failed(&key("b")));
        sweep.apply_message(WorkerMessage::Ended(key("a"), WorkEnd::Failed), &mut CellStartTimes::new());
        assert!(sweep.crashed.is_empty() && sweep.has_failed(&key("a")));
        assert!(sweep.done.contains(&key("b")));
    }

    #[test]
    fn cells_that_crashed_together_run_alone_until_one_crashes() {
        let mut sweep = SweepState::default();
        let together = start(&mut sweep, &["a", "b"]);
        assert!(sweep.assign_crash(&together, "killed"));
        assert!(sweep.crashed.is_empty() && sweep.is_isolated(&key("a")) && sweep.is_isolated(&key("b")));
        for name in ["a", "b"] {
            sweep.apply_message(
                WorkerMessage::Ended(key(name), WorkEnd::Released),
                &mut CellStartTimes::new(),
            );
        }
        assert!(sweep.suspects.is_empty() && sweep.is_isolated(&key("a")) && !sweep.has_failed(&key("a")));
        // If the two cells crash together again, both cells count as crashed. Without this rule, the sweep
        // would not end.
        assert!(sweep.assign_crash(&together, "killed"));
        assert_eq!(sweep.crashed.len(), 2);
    }

    #[test]
    fn crashes_are_handed_over_to_one_worker() {
        let mut sweep = SweepState::default();
        let running = start(&mut sweep, &["a"]);
        sweep.assign_crash(&running, "killed");
        let (first, second) = (sweep.move_crashes_to_copy(), sweep.move_crashes_to_copy());
        assert_eq!((first.crashed.len(), second.crashed.len()), (1, 0));
        assert!([first, second, sweep].iter().all(|state| state.has_failed(&key("a"))));
    }

    #[test]
    fn a_crash_without_running_cells_is_assigned_to_none() {
        let mut sweep = SweepState::default();
        assert!(!sweep.assign_crash(&CellStartTimes::new(), "killed"));
        assert_eq!(sweep, SweepState::default());
    }

    #[test]
    fn a_state_is_sent_as_one_line_and_read_back() {
        let mut sweep = SweepState { plan: Some(Digest::hash(b"keys")), ..SweepState::default() };
        let running = start(&mut sweep, &["a"]);
        sweep.assign_crash(&running, "killed\nin the night");
        let line = serde_json::to_string(&sweep).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<SweepState>(&line).unwrap(), sweep);
    }
}
