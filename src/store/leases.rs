//! The leases that this process holds, and the leases of other processes that it watches.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::attempt::AttemptId;
use super::lease::{Lease, LeaseIntervals, LeaseState, LeaseVersion};
use super::watched_leases::{ObservedLease, WatchedLeases};
use crate::slurm::{QueuedJob, SlurmRun, list_jobs};
use dtr_core::error::Result;
use dtr_core::files;

/// The maximum number of times that [`Leases::try_take`] tries to create a lease file. After this process has
/// removed a stale lease, the next try fails if another process takes the lease first.
const NUM_ATTEMPTS: usize = 3;

/// The leases of a process.
#[derive(Debug)]
pub(super) struct Leases {
    own: Lease,
    intervals: LeaseIntervals,
    /// The paths of held leases.
    held: Mutex<BTreeSet<PathBuf>>,
    has_thread: AtomicBool,
    watched: WatchedLeases,
    /// The latest answer of `squeue`, and its time.
    queue: Mutex<Option<(Instant, Option<Vec<QueuedJob>>)>>,
}

impl Leases {
    /// Creates an empty set of leases. `own` is the content of each lease file that this process will write.
    pub(super) fn new(own: Lease, intervals: LeaseIntervals) -> Arc<Self> {
        let (held, watched, queue) = (Mutex::default(), WatchedLeases::default(), Mutex::default());
        Arc::new(Self { own, intervals, held, has_thread: AtomicBool::new(false), watched, queue })
    }

    /// Returns the id of this process's attempts.
    pub(super) fn attempt(&self) -> &AttemptId {
        &self.own.attempt
    }

    /// Returns the times between touches, until a lease is stale, and between polls.
    pub(super) fn intervals(&self) -> LeaseIntervals {
        self.intervals
    }

    /// Tries to take the lease at `path`. If this process or another process already holds the lease, or if
    /// all tries fail, returns the lease's last known state as the inner error.
    ///
    /// # Errors
    /// Fails if the file cannot be read or written.
    pub(super) fn try_take(
        self: &Arc<Self>,
        path: &Path,
    ) -> Result<std::result::Result<HeldLease, LeaseState>> {
        let text = serde_json::to_string(&self.own).expect("a lease is plain JSON");
        let mut state = LeaseState::Free;
        for _ in 0..NUM_ATTEMPTS {
            // The file is read first, because a look costs a shared file system less than a creation.
            let Some(version) = LeaseVersion::read(path)? else {
                if files::create_marker_file(path, text.as_bytes())? {
                    return Ok(Ok(self.hold(path)));
                }
                continue;
            };
            state = self.state_of(path, &version);
            match state {
                LeaseState::Stale(_) => self.remove_stale(path, &version)?,
                _ => break,
            }
        }
        Ok(Err(state))
    }

    fn hold(self: &Arc<Self>, path: &Path) -> HeldLease {
        lock(&self.held).insert(path.to_owned());
        if !self.has_thread.swap(true, Ordering::SeqCst) {
            let (leases, interval) = (Arc::downgrade(self), self.intervals.touch);
            thread::spawn(move || touch_periodically(&leases, interval));
        }
        HeldLease { leases: Arc::clone(self), path: path.to_owned() }
    }

    /// Returns the state of the lease at `path`.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub(super) fn state(&self, path: &Path) -> Result<LeaseState> {
        Ok(LeaseVersion::read(path)?.map_or(LeaseState::Free, |version| self.state_of(path, &version)))
    }

    /// Returns the lease at `path` without asking Slurm. Returns `None` if there is no lease.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub(super) fn observe(&self, path: &Path) -> Result<Option<ObservedLease>> {
        let Some(version) = LeaseVersion::read(path)? else { return Ok(None) };
        let heartbeat = self.watched.heartbeat(path, &version);
        let is_alive = version.lease.as_ref().and_then(|lease| lease.holder.is_alive());
        Ok(Some(ObservedLease { state: self.judge(path, &version, is_alive), heartbeat }))
    }

    fn state_of(&self, path: &Path, version: &LeaseVersion) -> LeaseState {
        // A holder that touches its lease runs, so most leases need no call of `squeue`. A lease that was just
        // taken is not judged by an answer of `squeue` that is older than the lease.
        let may_have_ended = self.watched.unchanged_for(path, version) > self.intervals.touch * 2
            || self.watched.heartbeat(path, version).age > self.intervals.stale;
        let is_alive = version.lease.as_ref().and_then(|lease| {
            let run = lease.slurm.as_ref().filter(|_| may_have_ended);
            lease.holder.is_alive().or_else(|| self.is_job_alive(run?))
        });
        self.judge(path, version, is_alive)
    }

    /// Returns the state of a lease whose holder runs or not. If that is unknown, the time since the last
    /// touch decides.
    fn judge(&self, path: &Path, version: &LeaseVersion, is_alive: Option<bool>) -> LeaseState {
        let is_untouched = || self.watched.unchanged_for(path, version) > self.intervals.stale;
        let is_stale = is_alive.map_or_else(is_untouched, |is_alive| !is_alive);
        let lease = version.lease.clone();
        if is_stale { LeaseState::Stale(lease) } else { LeaseState::Held(lease) }
    }

    /// Returns whether the run of a job goes on. Returns `None` if Slurm cannot tell.
    fn is_job_alive(&self, run: &SlurmRun) -> Option<bool> {
        let is_same_cluster = run.may_be_on_cluster_of(self.own.slurm.as_ref());
        is_same_cluster.then(|| self.queue()).flatten().map(|queue| !run.has_ended(&queue))
    }

    /// Returns Slurm's job queue, or `None` if it is unknown. Runs `squeue` at most once per touch interval.
    fn queue(&self) -> Option<Vec<QueuedJob>> {
        let mut queue = lock(&self.queue);
        if let Some((at, jobs)) = &*queue
            && at.elapsed() < self.intervals.touch
        {
            return jobs.clone();
        }
        let jobs = list_jobs();
        *queue = Some((Instant::now(), jobs.clone()));
        jobs
    }

    /// Removes the lease at `path` if it is the stale lease `version`. If another process took the lease
    /// meanwhile, restores its lease.
    fn remove_stale(&self, path: &Path, version: &LeaseVersion) -> Result<()> {
        self.watched.forget(path);
        files::take_file_if(path, |moved| Ok(LeaseVersion::read(moved)?.as_ref() == Some(version))).map(drop)
    }

    /// Touches the held leases. Ignores errors: at worst, a lease looks stale, and another process repeats
    /// the work.
    fn touch_all(&self) {
        for path in lock(&self.held).iter() {
            let _ =
                File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        }
    }
}

/// Touches the held leases once per `interval`, until the [`Leases`] value is dropped.
fn touch_periodically(leases: &Weak<Leases>, interval: Duration) {
    loop {
        thread::sleep(interval);
        match leases.upgrade() {
            Some(leases) => leases.touch_all(),
            None => return,
        }
    }
}

/// A lease that this process holds until the value is dropped.
#[derive(Debug)]
pub(super) struct HeldLease {
    leases: Arc<Leases>,
    path: PathBuf,
}

impl Drop for HeldLease {
    /// Removes the lease file, unless another process has replaced it. Ignores errors: at worst, other
    /// processes wait until the leftover lease is stale.
    fn drop(&mut self) {
        lock(&self.leases.held).remove(&self.path);
        let version = LeaseVersion::read(&self.path).ok().flatten();
        if version.is_some_and(|version| version.lease.as_ref() == Some(&self.leases.own)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use dtr_core::system_info::ProcessIdentity;

    use super::*;

    /// Intervals that let a test wait for a stale lease.
    const SHORT: LeaseIntervals = LeaseIntervals {
        touch: Duration::from_millis(20),
        stale: Duration::from_millis(400),
        poll: [Duration::from_millis(5), Duration::from_millis(10)],
    };

    /// Returns the lease of a process on another host.
    fn remote_lease(attempt: &str) -> Lease {
        let holder = ProcessIdentity { kernel: "other".to_owned(), ..ProcessIdentity::current().clone() };
        Lease { holder, attempt: attempt.to_owned().try_into().unwrap(), slurm: None }
    }

    fn leases(own: Lease) -> Arc<Leases> {
        Leases::new(own, SHORT)
    }

    #[test]
    fn a_lease_is_held_until_it_is_dropped_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cell/lease");
        let own = leases(Lease::of_this_process());
        assert_eq!(own.state(&path).unwrap(), LeaseState::Free);
        let held = own.try_take(&path).unwrap().unwrap();
        let state = own.try_take(&path).unwrap().unwrap_err();
        assert_eq!(state, LeaseState::Held(Some(Lease::of_this_process())));
        assert!(!state.is_held_elsewhere());
        drop(held);
        assert_eq!(own.state(&path).unwrap(), LeaseState::Free);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_lease_of_a_dead_process_on_this_kernel_is_taken_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        // No process has the largest id.
        let holder = ProcessIdentity { process: i32::MAX as u32, ..ProcessIdentity::current().clone() };
        let dead = Lease { holder, ..Lease::of_this_process() };
        fs::write(&path, serde_json::to_string(&dead).unwrap()).unwrap();
        let own = leases(Lease::of_this_process());
        assert_eq!(own.state(&path).unwrap(), LeaseState::Stale(Some(dead)));
        assert!(own.try_take(&path).unwrap().is_ok());
    }

    #[test]
    fn a_lease_of_another_host_is_taken_only_after_nobody_touched_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cell/lease");
        let remote = leases(remote_lease("00000000000000aa"));
        let held = remote.try_take(&path).unwrap().unwrap();
        let own = leases(Lease::of_this_process());
        let start = Instant::now();
        while start.elapsed() < SHORT.stale * 2 {
            assert!(own.try_take(&path).unwrap().unwrap_err().is_held_elsewhere());
            thread::sleep(Duration::from_millis(10));
        }
        // The other host dies: nobody touches the file any more, and it stays.
        assert!(lock(&remote.held).remove(&path));
        let stopped = Instant::now();
        let taken = loop {
            if let Ok(taken) = own.try_take(&path).unwrap() {
                break taken;
            }
            thread::sleep(Duration::from_millis(10));
        };
        assert!(stopped.elapsed() >= SHORT.stale - SHORT.touch * 2, "{:?}", stopped.elapsed());
        drop(held);
        assert_eq!(own.state(&path).unwrap(), LeaseState::Held(Some(Lease::of_this_process())));
        drop(taken);
        assert!(!path.exists());
    }

    #[test]
    fn a_lease_is_not_removed_if_another_process_has_just_replaced_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let own = leases(Lease::of_this_process());
        fs::write(&path, serde_json::to_string(&remote_lease("00000000000000aa")).unwrap()).unwrap();
        let stale = LeaseVersion::read(&path).unwrap().unwrap();
        fs::write(&path, serde_json::to_string(&remote_lease("00000000000000bb")).unwrap()).unwrap();
        own.remove_stale(&path, &stale).unwrap();
        let left = LeaseVersion::read(&path).unwrap().unwrap().lease;
        assert_eq!(left, Some(remote_lease("00000000000000bb")));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lease_that_nobody_touches_is_stale_once_slurm_does_not_list_its_job() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let run = SlurmRun { job: 7, restarts: 0, cluster: None };
        let lease = Lease { slurm: Some(run), ..remote_lease("00000000000000aa") };
        fs::write(&path, serde_json::to_string(&lease).unwrap()).unwrap();
        let own = leases(Lease::of_this_process());
        // An answer of `squeue` may be older than the lease, so it counts only later.
        *lock(&own.queue) = Some((Instant::now() + Duration::from_secs(60), Some(Vec::new())));
        assert_eq!(own.state(&path).unwrap(), LeaseState::Held(Some(lease.clone())));
        thread::sleep(SHORT.touch * 3);
        assert_eq!(own.state(&path).unwrap(), LeaseState::Stale(Some(lease.clone())));
        *lock(&own.queue) = Some((Instant::now() + Duration::from_secs(60), None));
        assert_eq!(own.is_job_alive(lease.slurm.as_ref().unwrap()), None);
    }
}
