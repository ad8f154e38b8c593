//! The lease of a cell: a file that names the process which works on the cell.
//!
//! A lease saves work, and decides nothing. If two processes compute the same cell nevertheless, both get the
//! record of the first one that wrote it.
//!
//! A process creates the file by `link(2)`, which excludes processes of all hosts, and removes the file when
//! it stops working on the cell. Processes on one kernel see whether the holder runs. For processes
//! elsewhere, the holder touches the file every 30 seconds. A reader watches whether the file changes, by its
//! own monotonic clock. The lease is stale when the file has not changed for a minute and Slurm says that the
//! holder's job has ended, or else when the file has not changed for 5 minutes. A command that looks only
//! once asks Slurm about files whose time stamp is older than that. No decision depends on the clocks alone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::attempt::AttemptId;
use crate::slurm::SlurmRun;
use dtr_core::error::{Error, Result};
use dtr_core::system_info::ProcessIdentity;

/// The content of a lease: the process that works on the cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The process.
    pub holder: ProcessIdentity,
    /// The attempt of the process.
    pub attempt: AttemptId,
    /// The job of Slurm in which the process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmRun>,
}

impl Lease {
    /// Returns the lease of this process.
    pub fn of_this_process() -> Self {
        Self {
            holder: ProcessIdentity::current().clone(),
            attempt: AttemptId::of_this_process().clone(),
            slurm: SlurmRun::current(),
        }
    }
}

/// The intervals of leases.
#[derive(Clone, Copy, Debug)]
pub struct LeaseIntervals {
    /// Time between two touches of a lease by its holder.
    pub touch: Duration,
    /// Time after which a lease that nobody touched is stale.
    pub stale: Duration,
    /// Shortest and longest pause before a waiting process looks again at a lease of another kernel.
    pub poll: [Duration; 2],
}

impl Default for LeaseIntervals {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { touch: seconds(30), stale: seconds(300), poll: [seconds(5), seconds(10)] }
    }
}

/// The state of the lease of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Nobody works on the cell.
    Free,
    /// A process works on the cell. The lease is `None` if its file cannot be parsed.
    Held(Option<Lease>),
    /// The process that worked on the cell has ended without removing the lease.
    Stale(Option<Lease>),
}

impl LeaseState {
    /// Returns whether the holder runs on another kernel, so that this process cannot see when it ends.
    pub(super) fn is_held_elsewhere(&self) -> bool {
        match self {
            Self::Held(Some(lease)) => !lease.holder.is_on_this_kernel(),
            Self::Held(None) => true,
            Self::Free | Self::Stale(_) => false,
        }
    }
}

/// The content and the time of change of a lease file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseVersion {
    /// The lease. `None` if the file cannot be parsed.
    pub(super) lease: Option<Lease>,
    /// The time of the last touch, by the clock of the holder or of the file server.
    pub(super) modified: SystemTime,
}

impl LeaseVersion {
    /// Reads the lease at `path`. Returns `None` if there is no lease.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let read = || Ok((fs::read(path)?, fs::metadata(path)?.modified()?));
        match read() {
            Ok((bytes, modified)) => Ok(Some(Self { lease: serde_json::from_slice(&bytes).ok(), modified })),
            Err(cause) if is_gone(&cause) => Ok(None),
            Err(cause) => Err(Error::io("read", path, cause)),
        }
    }
}

/// Returns whether a file was removed, possibly by another host while this process had it open.
fn is_gone(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle)
}
