//! Atomic writes, content digests, text files of limited length, and file locks.
//!
//! Every [`Error`] of this module names the path. Only [`read_text_up_to`] returns an I/O error, which does
//! not name the path.

mod atomic;
mod digest;
mod lock;
mod temporary_names;
mod text;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use atomic::{
    create_file_atomically, create_folder_atomically, create_marker_file, take_file_if, write_atomically,
    write_bytes_atomically,
};
pub use digest::{Digest, digest_file};
pub use lock::FileLock;
pub use temporary_names::{
    find_abandoned_temporary_files, is_abandoned, is_temporary_file, remove_abandoned_temporary_files,
};
pub use text::{read_text_file, read_text_up_to};

/// Returns the folder of the user's caches: `XDG_CACHE_HOME`, or else `.cache` in the user's home. Returns
/// `None` if the user has no home.
pub fn user_cache_folder() -> Option<PathBuf> {
    let variable = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    variable.or_else(|| Some(std::env::home_dir()?.join(".cache")))
}

/// Formats a number of bytes in MiB or GiB.
pub fn format_bytes(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 30) {
        gib if gib >= 1.0 => format!("{gib:.1} GiB"),
        gib => format!("{:.1} MiB", gib * 1024.0),
    }
}

/// Creates a folder and its parents.
///
/// # Errors
/// Fails when the folder cannot be created.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::io("create", path, source))
}

/// Removes a file, or a folder with its content. Does nothing if `path` does not exist.
///
/// # Errors
/// Fails when the file or folder cannot be removed.
pub fn remove_file_or_folder_if_present(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, source)),
        _ => Ok(()),
    }
}

/// Returns the folder that contains `path`. For a bare file name, the folder is `.`.
fn parent_folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
