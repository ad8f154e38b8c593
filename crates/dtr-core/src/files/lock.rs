//! File locks. The system releases a lock when the process that holds the lock ends.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;

use super::{create_folder, parent_folder};
use crate::error::{Error, Result};

/// An exclusive file lock of this process. The lock is released when the value is dropped or the process
/// ends.
///
/// On a network file system, a lock may exclude only the processes of one host, or nobody. So a lock can save
/// work, but nothing may depend on it.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock at `path`. Waits while another process holds the lock. Creates the file if it does not
    /// exist. On a file system without locks, succeeds at once.
    ///
    /// # Errors
    /// Fails when the file cannot be opened, or when the system refuses the lock.
    pub fn acquire(path: &Path) -> Result<Self> {
        create_folder(parent_folder(path))?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|source| Error::io("open", path, source))?;
        match file.lock() {
            Err(source) if !is_unsupported(&source) => Err(Error::io("lock", path, source)),
            _ => Ok(Self { _file: file }),
        }
    }
}

/// Returns whether an error of a lock means that the file system has no locks.
fn is_unsupported(source: &io::Error) -> bool {
    let errors = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK];
    source.kind() == ErrorKind::Unsupported
        || errors.iter().any(|error| source.raw_os_error() == Some(error.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let num_holders = AtomicU32::new(0);
        let hold = || {
            let _lock = FileLock::acquire(&path).unwrap();
            assert_eq!(num_holders.fetch_add(1, Ordering::SeqCst), 0);
            std::thread::sleep(std::time::Duration::from_millis(2));
            num_holders.fetch_sub(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(hold))));
    }

    #[test]
    fn a_file_system_without_locks_is_recognized() {
        for (errno, expected) in
            [(Errno::NOSYS, true), (Errno::OPNOTSUPP, true), (Errno::NOLCK, true), (Errno::IO, false)]
        {
            assert_eq!(is_unsupported(&io::Error::from(errno)), expected, "{errno}");
        }
    }
}
