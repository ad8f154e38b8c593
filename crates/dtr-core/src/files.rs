//! Files that are whole or absent: atomic writes, content digests, locks that die with their holder.
//!
//! Knows nothing of the project. Every error names its path, and says what to do where it can.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the names of files being written begin, until they are renamed to what they are for.
const TEMPORARY_PREFIX: &str = ".dtr-tmp-";

/// The longest text that is read whole: many times the longest tokenizer.
const LONGEST_TEXT: u64 = 1 << 28;

/// A lock may be held for an instant by a probe ([`Lock::is_held`]) or by a process being spawned,
/// which has its parent's files until it runs its own program: look again before believing it.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
const NUM_LOCK_ATTEMPTS: usize = 3;

/// A failed file operation on `path`, with a hint where the user can act; `doing` is a verb phrase.
pub fn failure(doing: &str, path: &Path, cause: io::Error) -> Error {
    let hint = match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free disk space and run the same command again",
        ErrorKind::PermissionDenied => "check its owner and permissions",
        ErrorKind::ReadOnlyFilesystem => "choose a folder that can be written",
        _ => return Error::io(doing, path, cause),
    };
    Error::io(doing, path, cause).hint(hint)
}

/// A number of bytes as people read it.
pub fn size(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 30) {
        large if large >= 1.0 => format!("{large:.1} GiB"),
        small => format!("{:.1} MiB", small * 1024.0),
    }
}

/// Reads a text file that must fit in memory.
pub fn read_to_string(path: &Path) -> Result<String> {
    read_text(path, LONGEST_TEXT).map_err(|cause| failure("read", path, cause))
}

/// Reads a text file of at most `most` bytes, so that no forged file fills the memory.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    if File::open(path)?.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|cause| {
        let valid = cause.utf8_error().valid_up_to();
        let line = 1 + cause.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        io::Error::new(ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

/// Creates a folder and those above it.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|cause| failure("create", path, cause))
}

/// Removes a file, or a folder with all that is in it; it is well when nothing is there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(failure("remove", path, cause)),
        _ => Ok(()),
    }
}

/// Writes a file so that a reader, at any moment and after any crash, finds the old one or the new one.
///
/// `write` fills a temporary file in the same folder, which is synced and then renamed to `path`.
/// An error that is not of `io` goes through [`io::Error::other`].
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let folder = folder_of(path);
    create_folder(folder)?;
    write_and_rename(folder, path, write).map_err(|cause| failure("write", path, cause))?;
    sync_folder(folder);
    Ok(())
}

/// Writes `bytes` as [`write_atomically`] does.
pub fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

/// Fills a new folder so that it is there whole or, after an error or a crash, not at all.
///
/// `fill` is given a temporary folder beside `path`, which is then renamed to it.
///
/// # Errors
/// When `path` is there and not an empty folder, or what `fill` says.
pub fn create_folder_atomically(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let is_free = !path.exists() || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if !is_free {
        return Err(Error::manifest(format!("`{}` is there already", path.display()))
            .hint("name a new folder, or remove this one"));
    }
    let beside = folder_of(path);
    create_folder(beside)?;
    let mode = Permissions::from_mode(0o777);
    let temporary = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(mode).tempdir_in(beside);
    let temporary = temporary.map_err(|cause| failure("write in", beside, cause))?;
    fill(temporary.path())?;
    fs::rename(temporary.path(), path).map_err(|cause| failure("write", path, cause))?;
    // What it is to remove is no longer there.
    let _ = temporary.keep();
    sync_folder(beside);
    Ok(())
}

/// Removes what atomic writes into `folder` left there when their process was killed.
///
/// Only for a folder that no other process writes to.
pub fn remove_temporaries(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|cause| failure("list", folder, cause))? {
        let path = entry.map_err(|cause| failure("list", folder, cause))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY_PREFIX)) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn write_and_rename(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    // Results are for colleagues too: the mode of any new file, which the umask narrows.
    let mode = Permissions::from_mode(0o666);
    let mut temporary =
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(mode).tempfile_in(folder)?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes renames in `folder` outlast a power cut, where the file system can.
fn sync_folder(folder: &Path) {
    // Some file systems refuse to sync a folder; the rename is whole all the same.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// A blake3 digest; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }

    /// The digest's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The digest of a file's content, read as a stream.
pub fn digest_file(path: &Path) -> Result<Digest> {
    let digest = || -> io::Result<Digest> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize().into())
    };
    digest().map_err(|cause| failure("read", path, cause))
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // One digest has one spelling, so that a flipped bit cannot hide in the case of a letter.
        let hash = blake3::Hash::from_hex(text).ok().filter(|hash| hash.to_hex().as_str() == text);
        hash.map(Self::from)
            .ok_or_else(|| Error::manifest(format!("`{text}` is not a digest of 64 lower-case hex digits")))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A file lock held by this process; dropped with the value, and by the system when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, creating the file; `None` when someone holds it.
    ///
    /// The file stays when the lock is let go: removing it could part two claimants who both hold "the" lock.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let file = open_lock(path)?;
        let is_taken = attempt(path, || file.try_lock())?;
        Ok(is_taken.then_some(Self { _file: file }))
    }

    /// Takes the lock at `path` once nobody holds it, creating the file.
    pub fn acquire(path: &Path) -> Result<Self> {
        let file = open_lock(path)?;
        file.lock().map_err(|cause| lock_failure(path, cause))?;
        Ok(Self { _file: file })
    }

    /// Whether someone holds the lock at `path`; creates nothing.
    pub fn is_held(path: &Path) -> Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
            Err(cause) => return Err(failure("open", path, cause)),
        };
        // Shared, so that two probes never take one another for an owner.
        Ok(!attempt(path, || file.try_lock_shared())?)
    }
}

fn open_lock(path: &Path) -> Result<File> {
    create_folder(folder_of(path))?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    file.map_err(|cause| failure("open", path, cause))
}

/// Whether `take` takes the lock, now or when another's probe has let go of it.
fn attempt(path: &Path, take: impl Fn() -> std::result::Result<(), TryLockError>) -> Result<bool> {
    for _ in 0..NUM_LOCK_ATTEMPTS {
        match take() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PROBE_PAUSE),
            Err(TryLockError::Error(cause)) => return Err(lock_failure(path, cause)),
        }
    }
    Ok(false)
}

fn lock_failure(path: &Path, cause: io::Error) -> Error {
    failure("lock", path, cause).hint("choose a results folder on a file system that has file locks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        write_bytes_atomically(&path, b"old").unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert!(format!("{:?}", error.unwrap_err()).contains("hint: free disk space"));
        assert_eq!(read_to_string(&path).unwrap(), "old");
        assert_eq!(names_in(folder.path()), ["table"]);
    }

    #[test]
    fn folders_on_the_way_to_a_file_are_created_and_its_mode_is_that_of_any_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        write_bytes_atomically(&path, b"text").unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn a_folder_is_filled_whole_or_not_at_all_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/model");
        let fill =
            |path: &Path| fs::write(path.join("file"), "text").map_err(|cause| failure("write", path, cause));
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
        let refused = create_folder_atomically(&path, |_| panic!("nothing is to be filled"));
        assert!(refused.unwrap_err().to_string().ends_with("is there already"));
    }

    #[test]
    fn temporaries_of_a_killed_process_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".dtr-tmp-x1"), b"half").unwrap();
        fs::write(folder.path().join("whole"), b"").unwrap();
        remove_temporaries(folder.path()).unwrap();
        assert_eq!(names_in(folder.path()), ["whole"]);
    }

    #[test]
    fn a_file_has_the_digest_of_its_bytes_and_a_digest_one_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        write_bytes_atomically(&path, b"data").unwrap();
        let digest = digest_file(&path).unwrap();
        assert_eq!(digest, Digest::of(b"data"));
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{digest}\""));
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        assert!("abc".parse::<Digest>().is_err());
    }

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());
        assert!(!path.exists());
        let lock = Lock::try_acquire(&path).unwrap().unwrap();
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        assert!(Lock::is_held(&path).unwrap());
        drop(lock);
        assert!(!Lock::is_held(&path).unwrap());
        assert!(Lock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn an_error_names_the_path() {
        let error = read_to_string(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.one_line().starts_with("cannot read `/nowhere/at/all`: "));
    }
}
