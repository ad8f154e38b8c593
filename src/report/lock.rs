//! One report at a time in a folder: what a killed one left half written can go, and readers see no mixture for long.

use std::path::Path;

use dtr_core::error::Result;
use dtr_core::files::{Lock, create_folder, remove_temporaries};

/// The file beside the tables whose lock means that a report is being written.
const LOCK: &str = ".lock";

/// Writes into `tables` and `figures` by `write` while no other process does.
pub(super) fn alone<T>(tables: &Path, figures: &Path, write: impl FnOnce() -> Result<T>) -> Result<T> {
    create_folder(tables)?;
    let _lock = Lock::acquire(&tables.join(LOCK))?;
    for folder in [tables, figures].into_iter().filter(|folder| folder.is_dir()) {
        remove_temporaries(folder)?;
    }
    write()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn reports_take_turns_and_clear_what_a_killed_one_left() {
        let folder = tempfile::tempdir().unwrap();
        let [tables, figures] = ["tables", "figures"].map(|name| folder.path().join(name));
        create_folder(&figures).unwrap();
        fs::write(figures.join(".dtr-tmp-x"), "half").unwrap();
        let at_work = AtomicU32::new(0);
        let report = || {
            alone(&tables, &figures, || {
                assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::sleep(std::time::Duration::from_millis(5));
                at_work.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| report().unwrap()))));
        assert!(!figures.join(".dtr-tmp-x").exists());
    }
}
