//! File locks. The system releases a lock when the process that holds the lock ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::{create_folder, parent_folder};
use crate::error::{Error, Result};

/// The number of attempts to take a lock before the lock counts as held. [`RETRY_PAUSE`] is the pause after
/// each failed attempt.
///
/// A single attempt is not enough. [`FileLock::is_held`] holds the lock during its check, and a child process
/// holds the lock between fork and exec. Both release the lock after an instant.
const NUM_ATTEMPTS: usize = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// An exclusive file lock of this process. The lock is released when the value is dropped or the process
/// ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock at `path`. Returns `None` when the lock is already held. Creates the file if it does
    /// not exist.
    ///
    /// Nothing removes the file. If the file were removed, two processes could each lock a different file at
    /// the same path.
    ///
    /// # Errors
    /// Fails when the file cannot be opened, or when its file system does not support locks.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let file = open_lock_file(path)?;
        let is_taken = try_repeatedly(path, || file.try_lock())?;
        Ok(is_taken.then_some(Self { _file: file }))
    }

    /// Takes the lock at `path`. Waits while another process holds the lock. Creates the file if it does not
    /// exist.
    ///
    /// # Errors
    /// Fails when the file cannot be opened, or when its file system does not support locks.
    pub fn acquire(path: &Path) -> Result<Self> {
        let file = open_lock_file(path)?;
        file.lock().map_err(|source| lock_error(path, source))?;
        Ok(Self { _file: file })
    }

    /// Tells whether a process holds the lock at `path`. Does not create the file.
    ///
    /// # Errors
    /// Fails when the file cannot be opened, or when its file system does not support locks.
    pub fn is_held(path: &Path) -> Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(Error::io("open", path, source)),
        };
        // A shared lock lets several processes check at once. With exclusive locks, two simultaneous
        // checks could both report the lock as held.
        Ok(!try_repeatedly(path, || file.try_lock_shared())?)
    }
}

fn open_lock_file(path: &Path) -> Result<File> {
    create_folder(parent_folder(path))?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    file.map_err(|source| Error::io("open", path, source))
}

/// Calls `try_lock` until it succeeds, at most [`NUM_ATTEMPTS`] times. Returns whether it succeeded.
fn try_repeatedly(path: &Path, try_lock: impl Fn() -> std::result::Result<(), TryLockError>) -> Result<bool> {
    for _ in 0..NUM_ATTEMPTS {
        match try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY_PAUSE),
            Err(TryLockError::Error(source)) => return Err(lock_error(path, source)),
        }
    }
    Ok(false)
}

fn lock_error(path: &Path, source: io::Error) -> Error {
    Error::io("lock", path, source).hint("choose a results folder on a file system that supports file locks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(!path.exists());
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        assert!(FileLock::is_held(&path).unwrap());
        drop(lock);
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }
}
