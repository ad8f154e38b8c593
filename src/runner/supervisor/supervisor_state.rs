//! The state of the supervisor: the state of the sweep, and the division of its cells among workers.

use std::collections::BTreeMap;

use super::messages::SweepDivision;
use super::sweep_state::{CellStartTimes, SweepState};
use crate::store::CellKey;

/// The state that the supervisor keeps for all workers of a sweep.
#[derive(Debug, Default)]
pub(super) struct SupervisorState {
    /// The state of the sweep's cells, over all workers.
    pub(super) sweep: SweepState,
    /// The division of the cells among several workers. `None` until the first worker asks for a division.
    pub(super) division: Option<SweepDivision>,
    /// The worker to which each cell was granted.
    granted: BTreeMap<CellKey, usize>,
}

impl SupervisorState {
    /// Grants to `worker` the cells of `keys` that are not granted to any worker yet. Returns the keys of the
    /// newly granted cells. With `fail_fast`, grants nothing once a cell has failed.
    pub(super) fn grant(&mut self, worker: usize, mut keys: Vec<CellKey>) -> Vec<CellKey> {
        let fails_fast = self.division.as_ref().is_some_and(|division| division.fail_fast);
        if fails_fast && self.sweep.has_failures() {
            return Vec::new();
        }
        keys.retain(|key| !self.granted.contains_key(key));
        self.granted.extend(keys.iter().map(|key| (*key, worker)));
        keys
    }

    /// Assigns the crash of `worker` to the cells in `running`. Returns whether any cell was running.
    ///
    /// Also withdraws the worker's granted cells that have not ended. These cells can then be granted again.
    pub(super) fn assign_crash(&mut self, worker: usize, running: &CellStartTimes, reason: &str) -> bool {
        let is_assigned = self.sweep.assign_crash(running, reason);
        let sweep = &self.sweep;
        self.granted.retain(|key, holder| *holder != worker || sweep.has_ended(key));
        is_assigned
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use dtr_core::files::Digest;

    fn keys(names: &[&str]) -> Vec<CellKey> {
        let key = |name: &&str| Digest::hash(name.as_bytes()).to_string().parse().unwrap();
        names.iter().map(key).collect()
    }

    fn division(fail_fast: bool) -> SweepDivision {
        SweepDivision { num_workers: 2, memory_limit: None, num_cells: 3, num_ended_cells: 0, fail_fast }
    }

    #[test]
    fn a_cell_is_granted_once() {
        let mut state = SupervisorState::default();
        assert_eq!(state.grant(0, keys(&["a"])), keys(&["a"]));
        assert_eq!(state.grant(1, keys(&["a", "b"])), keys(&["b"]));
        assert_eq!(state.grant(0, keys(&["a", "b"])), []);
    }

    #[test]
    fn a_crash_takes_back_the_cells_that_can_still_run() {
        let mut state = SupervisorState::default();
        state.grant(0, keys(&["crashed", "waiting"]));
        state.grant(1, keys(&["beside"]));
        let running = CellStartTimes::from([(keys(&["crashed"])[0], Instant::now())]);
        assert!(state.assign_crash(0, &running, "killed"));
        assert_eq!(state.grant(1, keys(&["crashed", "waiting", "beside"])), keys(&["waiting"]));
        assert!(!state.assign_crash(1, &CellStartTimes::new(), "killed"));
    }

    #[test]
    fn no_cell_is_granted_after_the_first_failure_if_that_ends_the_sweep() {
        for fail_fast in [false, true] {
            let mut state =
                SupervisorState { division: Some(division(fail_fast)), ..SupervisorState::default() };
            assert_eq!(state.grant(0, keys(&["a"])).len(), 1);
            state.sweep.failed.extend(keys(&["a"]));
            assert_eq!(state.grant(1, keys(&["b"])).is_empty(), fail_fast);
        }
    }
}
