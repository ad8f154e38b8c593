//! Runs several workers at the same time.

use std::sync::Arc;
use std::thread;

use super::messages::{SweepDivision, WorkerRole};
use super::supervise::{Supervisor, Worker};
use crate::runner::progress::ProgressDisplay;
use crate::runner::signals::UserRequests;
use dtr_core::error::{Error, ErrorKind, Result};

/// Runs the workers among which `division` divides the cells of a sweep, until all workers have ended. If
/// workers failed, returns the exit code of the failed worker with the lowest number. Otherwise returns 0.
///
/// If one worker fails, the other workers stop as after Ctrl-C. A failed cell does not make its worker fail.
///
/// # Errors
/// Fails if the user interrupts the run, or if [`Supervisor::run_to_end`] fails for a worker.
pub(super) fn run_parallel_workers(supervisor: &Supervisor, division: &SweepDivision) -> Result<u8> {
    let display = Arc::new(ProgressDisplay::new(division.num_cells, UserRequests::default()));
    display.add_done_cells(division.num_ended_cells);
    let role = WorkerRole::Parallel {
        memory_limit: division.memory_limit,
        num_workers: division.num_workers,
        sends_progress: display.has_bars(),
    };
    let run = |number| {
        let result = supervisor.run_to_end(&Worker { number, role, display: Some(Arc::clone(&display)) });
        if !matches!(result, Ok(0)) {
            supervisor.stop_all();
        }
        result
    };
    let results = thread::scope(|scope| {
        let run = &run;
        let workers: Vec<_> =
            (0..division.num_workers).map(|number| scope.spawn(move || run(number))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("the thread of a worker does not panic"))
            .collect()
    });
    display.finish();
    combine(results)
}

/// Combines the results of the workers. Returns the first failure. If no worker failed but a worker was
/// interrupted, returns an error. If all workers succeeded, returns 0.
///
/// A failure takes precedence, because a worker's failure also interrupts the other workers. An interruption
/// becomes an error, because this process must report the interruption. Parallel workers do not report it.
fn combine(results: Vec<Result<u8>>) -> Result<u8> {
    let is_interrupted = |result: &Result<u8>| match result {
        Ok(code) => *code == ErrorKind::Interrupted.exit_code(),
        Err(error) => error.kind() == ErrorKind::Interrupted,
    };
    let was_interrupted = results.iter().any(is_interrupted);
    let is_failure = |result: &Result<u8>| !matches!(result, Ok(0)) && !is_interrupted(result);
    match results.into_iter().find(is_failure) {
        Some(failure) => failure,
        None if was_interrupted => Err(Error::interrupted()),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_before_the_interruptions_that_follow_it() {
        assert_eq!(combine(vec![Ok(0), Ok(0)]).unwrap(), 0);
        assert_eq!(combine(vec![Ok(130), Ok(0), Ok(5)]).unwrap(), 5);
        let failed = combine(vec![Ok(130), Err(Error::environment("full")), Ok(2)]).unwrap_err();
        assert_eq!(failed.to_string(), "full");
        let interrupted = combine(vec![Ok(0), Ok(130), Err(Error::interrupted())]).unwrap_err();
        assert_eq!(interrupted.kind(), ErrorKind::Interrupted);
    }
}
