//! The names of temporary files, from which every process can tell whether the writer of a file is dead.
//!
//! A name is `.dtr-tmp-KERNEL-PROCESS-START-RANDOM`. `KERNEL` is a digest of the kernel on which the writer
//! runs, `PROCESS` its process id, and `START` the time at which it started. A process that shares the folder
//! from another host cannot tell whether the writer is dead. Such a process removes the file once the file is
//! a day old.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{Digest, remove_file_or_folder_if_present};
use crate::error::{Error, Result};
use crate::system_info::ProcessIdentity;

/// The first letters of the name of every temporary file.
const PREFIX: &str = ".dtr-tmp-";

/// The number of digits of a digest that stand for a kernel.
const NUM_KERNEL_DIGITS: usize = 12;

/// The age after which nobody can still be writing a temporary file.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the first letters of the names of this process's temporary files.
pub(super) fn temporary_prefix() -> String {
    let ProcessIdentity { kernel, process, start_ticks, .. } = ProcessIdentity::current();
    format!("{PREFIX}{}-{process}-{}-", kernel_digits(kernel), start_ticks.unwrap_or_default())
}

/// Returns a path for a temporary file in `folder`, which no other call returns. Creates nothing.
pub(super) fn new_temporary_path(folder: &Path) -> PathBuf {
    static NUM_PATHS: AtomicU64 = AtomicU64::new(0);
    let number = NUM_PATHS.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{}moved-{number}", temporary_prefix()))
}

fn kernel_digits(kernel: &str) -> String {
    let mut digits = Digest::hash(kernel.as_bytes()).to_string();
    digits.truncate(NUM_KERNEL_DIGITS);
    digits
}

/// Returns whether `path` has the name of a temporary file or folder.
pub fn is_temporary_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
}

/// Removes the temporary files in `folder` that nobody writes any more. Does nothing if the folder does not
/// exist.
///
/// # Errors
/// Fails when the folder cannot be listed, or a file cannot be removed.
pub fn remove_abandoned_temporary_files(folder: &Path) -> Result<()> {
    let files = find_abandoned_temporary_files(folder)?;
    files.iter().try_for_each(|path| remove_file_or_folder_if_present(path))
}

/// Lists the temporary files in `folder` that nobody writes any more. A folder that does not exist has none.
///
/// # Errors
/// Fails when the folder cannot be listed.
pub fn find_abandoned_temporary_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(source) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(|source| Error::io("list", folder, source))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| Error::io("list", folder, source))?.path();
        if is_temporary_file(&path) && is_abandoned(&path) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Returns whether nobody writes a temporary file any more, because its writer is dead or the file is more
/// than a day old.
pub fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match writer(&name) {
        Some(writer) => writer.is_alive().is_some_and(|is_alive| !is_alive) || is_a_day_old(path),
        None => is_a_day_old(path),
    }
}

/// Returns the process that wrote the temporary file `name`. Returns `None` if the writer ran on another
/// kernel.
fn writer(name: &str) -> Option<ProcessIdentity> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let current = ProcessIdentity::current();
    if parts.next()? != kernel_digits(&current.kernel) {
        return None;
    }
    let process = parts.next()?.parse().ok()?;
    let start_ticks = Some(parts.next()?.parse().ok()?).filter(|ticks| *ticks != 0);
    Some(ProcessIdentity { process, start_ticks, ..current.clone() })
}

fn is_a_day_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > MAX_AGE))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_temporary_files_of_dead_writers_and_old_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let digits = kernel_digits(&ProcessIdentity::current().kernel);
        // No process has the largest id.
        let dead = format!("{PREFIX}{digits}-{}-1-x", i32::MAX);
        let (own, remote) = (format!("{}x", temporary_prefix()), format!("{PREFIX}000000000000-1-1-x"));
        let old = format!("{PREFIX}000000000000-1-1-old");
        let names = [&dead, &own, &remote, &old, "complete"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "half").unwrap());
        let before = SystemTime::now() - MAX_AGE - Duration::from_secs(60);
        File::options().write(true).open(folder.path().join(&old)).unwrap().set_modified(before).unwrap();
        remove_abandoned_temporary_files(folder.path()).unwrap();
        let is_left: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
        assert_eq!(is_left, [false, true, true, false, true]);
        remove_abandoned_temporary_files(&folder.path().join("missing")).unwrap();
    }
}
