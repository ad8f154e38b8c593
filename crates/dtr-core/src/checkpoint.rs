//! Files of unfinished work, under a digest of their content and of whose they are.
//!
//! What a kill, a bad disk or a hand in the wrong folder did to such a file is noticed before it is
//! believed: a checkpoint is only worth the work that it saves.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Digest};

/// Keeps these digests apart from every other use of blake3.
const DOMAIN: &str = "dtr sealed file v1";

/// What a sealed file begins with: its digest in hex and the end of the line.
const HEAD_BYTES: usize = 65;

/// A file that only its owner's content can fill.
#[derive(Clone, Debug)]
pub struct Sealed {
    path: PathBuf,
    owner: String,
}

impl Sealed {
    /// The sealed file of `owner` at `path`, whether it is there or not.
    pub fn new(path: impl Into<PathBuf>, owner: impl Into<String>) -> Self {
        Self { path: path.into(), owner: owner.into() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `content`, whole or not at all.
    pub fn write(&self, content: &[u8]) -> Result<()> {
        let mut hasher = self.hasher();
        hasher.update(content);
        let digest = Digest::from(hasher.finalize());
        files::write_atomically(&self.path, |file| {
            file.write_all(format!("{digest}\n").as_bytes())?;
            file.write_all(content)
        })
    }

    /// The content; `None` when nothing was written.
    ///
    /// # Errors
    /// When the file is damaged or another owner's, besides those of reading.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(files::failure("read", &self.path, cause)),
        };
        match bytes.split_at_checked(HEAD_BYTES) {
            Some((head, content)) if self.vouches(head, content).is_ok_and(|sound| sound) => {
                Ok(Some(content.to_vec()))
            }
            _ => Err(Error::environment(format!("`{}` is damaged, or another's", self.path.display()))),
        }
    }

    /// Removes the file if it is damaged or another owner's; whether it was.
    pub fn remove_if_damaged(&self) -> Result<bool> {
        let sound = || -> io::Result<bool> {
            let mut file = File::open(&self.path)?;
            let mut head = [0; HEAD_BYTES];
            file.read_exact(&mut head)?;
            self.vouches(&head, file)
        };
        match sound() {
            Ok(true) => Ok(false),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
            // What cannot be read to its end serves nobody; if it cannot be removed either, that is told.
            Ok(false) | Err(_) => files::remove(&self.path).map(|()| true),
        }
    }

    fn vouches(&self, head: &[u8], content: impl Read) -> io::Result<bool> {
        let mut hasher = self.hasher();
        hasher.update_reader(content)?;
        Ok(format!("{}\n", Digest::from(hasher.finalize())).as_bytes() == head)
    }

    fn hasher(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
        // The owner after its length, so that no owner and content run into another's.
        hasher.update(&(self.owner.len() as u64).to_le_bytes());
        hasher.update(self.owner.as_bytes());
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(folder: &tempfile::TempDir) -> Sealed {
        Sealed::new(folder.path().join("checkpoint"), "cell a")
    }

    #[test]
    fn what_was_written_is_read_and_nothing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = sealed(&folder);
        assert_eq!(file.read().unwrap(), None);
        assert!(!file.remove_if_damaged().unwrap());
        for content in [&b"weights"[..], b""] {
            file.write(content).unwrap();
            assert_eq!(file.read().unwrap().as_deref(), Some(content));
            assert!(!file.remove_if_damaged().unwrap());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = sealed(&folder);
        file.write(b"weights").unwrap();
        let whole = fs::read(file.path()).unwrap();
        let flipped = (0..whole.len() * 8).map(|bit| {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        });
        let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
        for damaged in flipped.chain(cut) {
            fs::write(file.path(), &damaged).unwrap();
            let message = file.read().unwrap_err().to_string();
            assert!(message.contains("checkpoint` is damaged"), "{message}");
            assert!(file.remove_if_damaged().unwrap());
            assert_eq!(file.read().unwrap(), None);
        }
    }

    #[test]
    fn the_file_of_another_owner_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = sealed(&folder);
        Sealed::new(file.path(), "cell b").write(b"weights").unwrap();
        assert!(file.read().is_err());
        assert!(file.remove_if_damaged().unwrap());
    }
}
