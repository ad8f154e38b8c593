//! The lock of a folder of tables. Only the process that holds the lock writes a report into the folder.
//!
//! Therefore, the folder does not contain a mixture of files from two reports. On a network file system, the
//! lock may fail to exclude processes of other hosts. Each file is still written atomically.

use std::path::Path;

use dtr_core::error::Result;
use dtr_core::files::{FileLock, create_folder, remove_abandoned_temporary_files};

const LOCK_FILE: &str = ".lock";

/// Takes the lock, deletes temporary files of dead processes in `tables` and `figures`, and then calls
/// `write`.
///
/// # Errors
/// Fails if the lock cannot be taken, if a temporary file cannot be deleted, or if `write` fails.
pub(super) fn with_report_lock<T>(
    tables: &Path,
    figures: &Path,
    write: impl FnOnce() -> Result<T>,
) -> Result<T> {
    create_folder(tables)?;
    let _lock = FileLock::acquire(&tables.join(LOCK_FILE))?;
    for folder in [tables, figures] {
        remove_abandoned_temporary_files(folder)?;
    }
    write()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn reports_are_written_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let [tables, figures] = ["tables", "figures"].map(|name| folder.path().join(name));
        let num_writers = AtomicU32::new(0);
        let report = || {
            with_report_lock(&tables, &figures, || {
                assert_eq!(num_writers.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::sleep(std::time::Duration::from_millis(5));
                num_writers.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| report().unwrap()))));
    }
}
