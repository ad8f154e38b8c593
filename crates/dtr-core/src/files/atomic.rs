//! Atomic writes: files and folders that appear complete or not at all.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;
use tempfile::{NamedTempFile, TempPath};

use super::temporary_names::{new_temporary_path, temporary_prefix};
use super::{create_folder, parent_folder};
use crate::error::{Error, Result};

/// The number of attempts to write into a folder that another process removes at the same time.
const NUM_ATTEMPTS: usize = 5;

/// Writes a file atomically: readers find either the old or the new content, even after a crash.
///
/// `write` fills a temporary file in the folder of `path`. The file is then synced and renamed to `path`.
/// `write` can wrap errors of other types in [`io::Error::other`].
///
/// # Errors
/// Fails when `write` fails, or when the file cannot be created or renamed.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let failure = |source| Error::io("write", path, source);
    let mut temporary = write_temporary(path, write).map_err(failure)?;
    for _ in 1..NUM_ATTEMPTS {
        match temporary.persist(path) {
            Ok(_) => {
                sync_folder(parent_folder(path));
                return Ok(());
            }
            Err(error) if error.error.kind() == ErrorKind::NotFound => {
                temporary = copy_temporary(error.file, path).map_err(failure)?;
            }
            Err(error) => return Err(failure(error.error)),
        }
    }
    temporary.persist(path).map_err(|error| failure(error.error)).map(drop)
}

/// Writes `bytes` as the content of a file, in the same atomic way as [`write_atomically`].
///
/// # Errors
/// Fails when the file cannot be written.
pub fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

/// Creates a file with the content `bytes` atomically, unless the file exists. Returns whether this call
/// created the file. If several processes create the file at the same time, one of them succeeds, even if
/// they run on several hosts.
///
/// The file is created by `link(2)`, which is atomic on network file systems too. On a file system without
/// links, the file is renamed, so that two processes could both succeed.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn create_file_atomically(path: &Path, bytes: &[u8]) -> Result<bool> {
    create_by_link(path, bytes, true)
}

/// Creates a file as [`create_file_atomically`] does, but does not sync it, because nothing is lost if a
/// power failure removes it.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn create_marker_file(path: &Path, bytes: &[u8]) -> Result<bool> {
    create_by_link(path, bytes, false)
}

fn create_by_link(path: &Path, bytes: &[u8], is_synced: bool) -> Result<bool> {
    let create = || -> io::Result<bool> {
        let mut temporary = create_temporary(parent_folder(path))?;
        temporary.write_all(bytes)?;
        if is_synced {
            temporary.as_file().sync_all()?;
        }
        let metadata = temporary.as_file().metadata()?;
        // A network file system sends the content to the server when the file is closed, and leaves a hidden
        // file if an open file is removed. So the file is closed first.
        let temporary = temporary.into_temp_path();
        link_or_rename(temporary, &metadata, path)
    };
    let is_created = create().map_err(|source| Error::io("write", path, source))?;
    if is_synced {
        sync_folder(parent_folder(path));
    }
    Ok(is_created)
}

/// Moves the file at `path` to a temporary name if it is the file that the caller expects. If several
/// processes call this function at the same time, one of them gets the file, even if they run on several
/// hosts.
///
/// `is_expected` inspects the moved file. If another process has replaced the file, the function restores the
/// new file, unless a third process has created one. Returns the moved file, which is removed when the value
/// is dropped. Returns `None` if there is no file or another file.
///
/// # Errors
/// Fails when the file cannot be moved, or when `is_expected` fails.
pub fn take_file_if(
    path: &Path,
    is_expected: impl FnOnce(&Path) -> Result<bool>,
) -> Result<Option<TempPath>> {
    let failure = |source| Error::io("rename", path, source);
    let moved = new_temporary_path(parent_folder(path));
    match fs::rename(path, &moved) {
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.map_err(failure)?,
    }
    let taken = TempPath::try_from_path(moved).map_err(failure)?;
    let is_expected = is_expected(&taken);
    if matches!(is_expected, Ok(true)) {
        return Ok(Some(taken));
    }
    let metadata = fs::symlink_metadata(&taken).map_err(failure)?;
    link_or_rename(taken, &metadata, path).map_err(failure)?;
    is_expected.map(|_| None)
}

/// Links `path` to the file `temporary`, or renames the file where there are no links. Returns whether `path`
/// is this file.
fn link_or_rename(temporary: TempPath, metadata: &Metadata, path: &Path) -> io::Result<bool> {
    match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        // The answer of a server can be lost, so that a link was made although it is reported to exist.
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path);
            Ok(found.is_ok_and(|found| (found.dev(), found.ino()) == (metadata.dev(), metadata.ino())))
        }
        Err(cause) if has_no_links(&cause) => {
            let is_free = !path.exists();
            if is_free {
                temporary.persist(path)?;
            }
            Ok(is_free)
        }
        Err(cause) => Err(cause),
    }
}

/// Returns whether an error of `link(2)` means that the file system has no links.
fn has_no_links(cause: &io::Error) -> bool {
    let errors = [Errno::PERM, Errno::NOSYS, Errno::OPNOTSUPP];
    errors.iter().any(|error| cause.raw_os_error() == Some(error.raw_os_error()))
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
    let prefix = temporary_prefix();
    let temporary = tempfile::Builder::new().prefix(&prefix).permissions(mode).tempdir_in(parent);
    let temporary = temporary.map_err(|source| Error::io("write in", parent, source))?;
    fill(temporary.path())?;
    fs::rename(temporary.path(), path).map_err(|source| Error::io("write", path, source))?;
    // The temporary folder has been renamed, so its destructor must not remove it.
    let _ = temporary.keep();
    sync_folder(parent);
    Ok(())
}

/// Creates a temporary file in the folder of `path`, fills it by `write`, and syncs it. Creates the folder if
/// it does not exist.
fn write_temporary(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let mut temporary = create_temporary(parent_folder(path))?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// Copies a temporary file that another process has removed together with its folder.
fn copy_temporary(mut removed: NamedTempFile, path: &Path) -> io::Result<NamedTempFile> {
    write_temporary(path, |file| {
        removed.as_file_mut().rewind()?;
        io::copy(removed.as_file_mut(), file).map(drop)
    })
}

fn create_temporary(folder: &Path) -> io::Result<NamedTempFile> {
    // `File::create` requests the same mode for a new file. The default mode of `tempfile` would hide results
    // from other users.
    let mode = Permissions::from_mode(0o666);
    let prefix = temporary_prefix();
    let create = || {
        fs::create_dir_all(folder)?;
        tempfile::Builder::new().prefix(&prefix).permissions(mode.clone()).tempfile_in(folder)
    };
    for _ in 1..NUM_ATTEMPTS {
        match create() {
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
    }
    create()
}

/// Syncs `folder`, so that renames in it survive a power failure.
fn sync_folder(folder: &Path) {
    // The error is ignored: some file systems cannot sync a folder, and the rename is atomic anyway.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
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
    fn one_of_several_writers_creates_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/record");
        let create = |number: usize| create_file_atomically(&path, number.to_string().as_bytes()).unwrap();
        let created: Vec<bool> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|number| scope.spawn(move || create(number))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winner = created.iter().position(|is_created| *is_created).unwrap();
        assert_eq!(created.iter().filter(|is_created| **is_created).count(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), winner.to_string());
        assert_eq!(names_in(path.parent().unwrap()), ["record"]);
    }

    #[test]
    fn a_file_is_taken_only_if_it_is_the_expected_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let take = |is_expected: Result<bool>| take_file_if(&path, |_| is_expected);
        assert!(take(Ok(true)).unwrap().is_none());
        fs::write(&path, "text").unwrap();
        assert!(take(Ok(false)).unwrap().is_none());
        assert_eq!(take(Err(Error::failed("unreadable"))).unwrap_err().to_string(), "unreadable");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(names_in(folder.path()), ["record"]);
        let taken = take(Ok(true)).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&taken).unwrap(), "text");
        assert!(!path.exists());
        drop(taken);
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn a_file_is_written_although_another_process_removes_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint/file");
        write_atomically(&path, |file| {
            file.write_all(b"weights")?;
            fs::remove_dir_all(path.parent().unwrap())
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "weights");
    }
}
