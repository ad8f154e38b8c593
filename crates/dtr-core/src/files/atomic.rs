//! Atomic writes: files and folders that appear complete or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{create_folder, parent_folder, remove_file_or_folder_if_present};
use crate::error::{Error, Result};

/// Prefix of the names of temporary files and folders. A complete file or folder is renamed to its final
/// name.
const TEMPORARY_PREFIX: &str = ".dtr-tmp-";

/// Writes a file atomically: readers find either the old or the new content, even after a crash.
///
/// `write` fills a temporary file in the folder of `path`. The file is then synced and renamed to `path`.
/// `write` can wrap errors of other types in [`io::Error::other`].
///
/// # Errors
/// Fails when `write` fails, or when the file cannot be created or renamed.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let folder = parent_folder(path);
    create_folder(folder)?;
    write_and_rename(folder, path, write).map_err(|source| Error::io("write", path, source))?;
    sync_folder(folder);
    Ok(())
}

/// Writes `bytes` as the content of a file, in the same atomic way as [`write_atomically`].
///
/// # Errors
/// Fails when the file cannot be written.
pub fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

/// Creates a folder atomically: an error or a crash never leaves a partly filled folder at `path`.
///
/// `fill` writes into a temporary folder beside `path`. The folder is then renamed to `path`.
///
/// # Errors
/// Fails when `path` exists and is not an empty folder, or when `fill` fails.
pub fn create_folder_atomically(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let is_free = !path.exists() || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if !is_free {
        return Err(Error::manifest(format!("cannot create `{}`: it already exists", path.display()))
            .hint("name a new folder, or remove this one"));
    }
    let parent = parent_folder(path);
    create_folder(parent)?;
    let mode = Permissions::from_mode(0o777);
    let temporary = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(mode).tempdir_in(parent);
    let temporary = temporary.map_err(|source| Error::io("write in", parent, source))?;
    fill(temporary.path())?;
    fs::rename(temporary.path(), path).map_err(|source| Error::io("write", path, source))?;
    // The temporary folder has been renamed, so its destructor must not remove it.
    let _ = temporary.keep();
    sync_folder(parent);
    Ok(())
}

/// Removes the temporary files that killed processes left in `folder`.
///
/// Call this only for a folder to which no other process writes.
///
/// # Errors
/// Fails when the folder cannot be listed, or a file cannot be removed.
pub fn remove_temporary_files(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|source| Error::io("list", folder, source))? {
        let path = entry.map_err(|source| Error::io("list", folder, source))?.path();
        if is_temporary_file(&path) {
            remove_file_or_folder_if_present(&path)?;
        }
    }
    Ok(())
}

/// Returns whether `path` has the name of a temporary file or folder of this module.
pub fn is_temporary_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY_PREFIX))
}

fn write_and_rename(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    // This is the mode that `File::create` requests for a new file. The default mode of `tempfile` would hide
    // results from other users.
    let mode = Permissions::from_mode(0o666);
    let mut temporary =
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(mode).tempfile_in(folder)?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

/// Syncs `folder`, so that renames in it survive a power failure.
fn sync_folder(folder: &Path) {
    // The error is ignored: some file systems cannot sync a folder, and the rename is atomic anyway.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_failed_write_leaves_only_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        write_bytes_atomically(&path, b"old").unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert!(format!("{:?}", error.unwrap_err()).contains("hint: free disk space"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names_in(folder.path()), ["table"]);
    }

    #[test]
    fn writing_creates_parent_folders_and_an_ordinary_file_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        write_bytes_atomically(&path, b"text").unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn a_folder_appears_complete_and_never_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/model");
        let fill = |path: &Path| {
            fs::write(path.join("file"), "text").map_err(|source| Error::io("write", path, source))
        };
        let failed = create_folder_atomically(&path, |folder| {
            fill(folder)?;
            Err(Error::failed("half way"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "half way");
        assert!(names_in(path.parent().unwrap()).is_empty());
        create_folder_atomically(&path, fill).unwrap();
        assert_eq!(names_in(&path), ["file"]);
        let plain = folder.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
        let refused = create_folder_atomically(&path, |_| panic!("an existing folder was filled"));
        assert!(refused.unwrap_err().to_string().ends_with("already exists"));
    }

    #[test]
    fn only_the_temporary_files_of_a_killed_process_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".dtr-tmp-x1"), b"half").unwrap();
        fs::write(folder.path().join("complete"), b"").unwrap();
        remove_temporary_files(folder.path()).unwrap();
        assert_eq!(names_in(folder.path()), ["complete"]);
    }
}
