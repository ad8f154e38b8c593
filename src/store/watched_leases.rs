//! The lease files of other processes that this process watches.
//!
//! This process measures by its own monotonic clock for how long a file has not changed, because the clocks
//! of hosts differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::lease::{LeaseState, LeaseVersion};

/// The lease of a cell, as an observer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLease {
    /// The state, as far as the kernel of this host and the time since the last touch can tell.
    pub state: LeaseState,
    /// The time since the last touch.
    pub heartbeat: Heartbeat,
}

/// The time since the holder of a lease last touched its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The time since the touch.
    pub age: Duration,
    /// Whether this process has seen the touch. Otherwise, the age is the difference between this host's
    /// clock and the time stamp of the file, which the clock of another host may have given.
    pub is_observed: bool,
}

/// A watched lease file.
#[derive(Debug)]
struct Watch {
    version: LeaseVersion,
    /// The time at which this process first saw this version.
    since: Instant,
    /// Whether this process has seen an earlier version.
    has_changed: bool,
}

/// The lease files that a process watches.
#[derive(Debug, Default)]
pub(super) struct WatchedLeases(Mutex<BTreeMap<PathBuf, Watch>>);

impl WatchedLeases {
    /// Returns for how long a lease file has not changed while this process watched it.
    pub(super) fn unchanged_for(&self, path: &Path, version: &LeaseVersion) -> Duration {
        self.look(path, version).0
    }

    /// Returns the time since the last touch of a lease file.
    pub(super) fn heartbeat(&self, path: &Path, version: &LeaseVersion) -> Heartbeat {
        let (unchanged_for, is_observed) = self.look(path, version);
        if is_observed {
            return Heartbeat { age: unchanged_for, is_observed };
        }
        let by_time_stamp = SystemTime::now().duration_since(version.modified).unwrap_or_default();
        Heartbeat { age: by_time_stamp.max(unchanged_for), is_observed }
    }

    /// Stops watching a lease file.
    pub(super) fn forget(&self, path: &Path) {
        self.lock().remove(path);
    }

    /// Returns for how long a file has not changed, and whether this process has seen it change.
    fn look(&self, path: &Path, version: &LeaseVersion) -> (Duration, bool) {
        let mut watched = self.lock();
        let has_changed = watched.contains_key(path);
        match watched.get(path) {
            Some(watch) if watch.version == *version => (watch.since.elapsed(), watch.has_changed),
            _ => {
                let watch = Watch { version: version.clone(), since: Instant::now(), has_changed };
                watched.insert(path.to_owned(), watch);
                (Duration::ZERO, has_changed)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_that_of_the_time_stamp_until_the_file_changes() {
        let (watched, path) = (WatchedLeases::default(), Path::new("lease"));
        let version = |age| LeaseVersion { lease: None, modified: SystemTime::now() - age };
        let old = version(Duration::from_secs(100));
        for _ in 0..2 {
            let heartbeat = watched.heartbeat(path, &old);
            assert!(!heartbeat.is_observed && heartbeat.age.as_secs() >= 100, "{heartbeat:?}");
        }
        // The clock of the other host is slow by an hour.
        let heartbeat = watched.heartbeat(path, &version(Duration::from_secs(3600)));
        assert!(heartbeat.is_observed && heartbeat.age.as_secs() < 100, "{heartbeat:?}");
        watched.forget(path);
        let ahead = LeaseVersion { lease: None, modified: SystemTime::now() + Duration::from_secs(3600) };
        assert!(!watched.heartbeat(path, &ahead).is_observed);
    }
}
