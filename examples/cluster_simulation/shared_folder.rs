//! The load of the shared results folder.

use crate::simulator::Outcome;
use crate::work::BaseWork;

/// Requests on the shared folder for a candidate. `strace` counted 2,272 system calls that name a file of a
/// score in a search of 82 evaluations on one machine. A client of NFS answers some from its cache.
const REQUESTS_PER_SCORE: f64 = 28.0;

/// Requests on the shared folder for a part of a group of candidates, of the process that scores it and of the
/// process that runs the search. Counted in the code, not measured.
const REQUESTS_PER_PART: f64 = 30.0;

/// Requests a second of a worker that waits for another: it reads the description of the group twice a second,
/// and the lease of the search every 4 seconds.
const REQUESTS_OF_WAITING: f64 = 2.0 * 2.0 + 3.0 / 4.0;

/// Requests a second of a worker that runs: it touches its lease, and up to 8 leases of candidates, every 30
/// seconds.
const REQUESTS_OF_RUNNING: f64 = 3.0 * 9.0 / 30.0;

/// Files and folders of a planned cell, and of a score that a search recorded.
const FILES_PER_CELL: usize = 6;

/// Returns the most requests a second.
pub fn requests_per_second(outcome: &Outcome) -> f64 {
    outcome.max_scores_per_minute as f64 * REQUESTS_PER_SCORE / 60.0
        + outcome.max_parts_per_minute as f64 * REQUESTS_PER_PART / 60.0
        + outcome.max_waiting as f64 * REQUESTS_OF_WAITING
        + outcome.max_running as f64 * REQUESTS_OF_RUNNING
}

/// Returns the number of files and folders if every candidate were scored completely.
pub fn count_files(bases: &[BaseWork]) -> usize {
    let searches = || bases.iter().flat_map(|base| &base.searches);
    let candidates: usize = searches().map(|search| search.rounds.iter().map(Vec::len).sum::<usize>()).sum();
    // Three variants of each base have a distillation.
    (searches().count() + 3 * bases.len()) * FILES_PER_CELL + candidates
}
