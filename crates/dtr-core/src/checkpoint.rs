//! Checkpoint files: saved progress of unfinished work, protected by a digest.
//!
//! A checkpoint has an owner: the name of the work whose progress the file holds. The digest covers the owner
//! and the content. [`CheckpointFile::read`] checks the digest before it returns the content. A digest that
//! does not match means that the file is damaged or belongs to other work.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Digest};

/// The context string of BLAKE3's key derivation for the digests of checkpoints. The string is part of the
/// file format.
const DOMAIN: &str = "dtr sealed file v1";

/// The length of the file's header in bytes: 64 hex digits of the digest, and a line break.
const HEADER_BYTES: usize = 65;

/// The path of a checkpoint file, and its owner: the name of the work whose progress the file holds.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    owner: String,
}

impl CheckpointFile {
    /// Describes the checkpoint of `owner` at `path`. The file does not have to exist.
    pub fn new(path: impl Into<PathBuf>, owner: impl Into<String>) -> Self {
        Self { path: path.into(), owner: owner.into() }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `content` and its digest atomically.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn write(&self, content: &[u8]) -> Result<()> {
        files::write_atomically(&self.path, |file| {
            file.write_all(self.header(content).as_bytes())?;
            file.write_all(content)
        })
    }

    /// Writes `content` and its digest as [`CheckpointFile::write`] does, unless the file exists. Returns whether
    /// the file was created. Does not sync the file, so a power failure may remove or damage it.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn create(&self, content: &[u8]) -> Result<bool> {
        files::create_marker_file(&self.path, &[self.header(content).as_bytes(), content].concat())
    }

    /// Returns the file's header: the digest of the owner and of `content`, and a line break.
    fn header(&self, content: &[u8]) -> String {
        let mut hasher = self.hasher();
        hasher.update(content);
        format!("{}\n", Digest::from(hasher.finalize()))
    }

    /// Reads the content. Returns `None` if the file does not exist.
    ///
    /// # Errors
    /// Fails when the file cannot be read, is damaged, or belongs to another owner.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::io("read", &self.path, source)),
        };
        match bytes.split_at_checked(HEADER_BYTES) {
            Some((header, content)) if self.matches_digest(header, content).is_ok_and(|matches| matches) => {
                Ok(Some(content.to_vec()))
            }
            _ => Err(Error::environment(format!(
                "cannot use the checkpoint `{}`: it is damaged or belongs to other work",
                self.path.display()
            ))),
        }
    }

    /// Removes the file if it cannot be read, is damaged, or belongs to another owner. Returns whether the
    /// file was removed.
    ///
    /// # Errors
    /// Fails when the file cannot be removed.
    pub fn remove_if_unusable(&self) -> Result<bool> {
        let is_sound = || -> io::Result<bool> {
            let mut file = File::open(&self.path)?;
            let mut header = [0; HEADER_BYTES];
            file.read_exact(&mut header)?;
            self.matches_digest(&header, file)
        };
        match is_sound() {
            Ok(true) => Ok(false),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(false),
            // A file that cannot be read is removed too. If the removal fails, its error is returned.
            Ok(false) | Err(_) => files::remove_file_or_folder_if_present(&self.path).map(|()| true),
        }
    }

    fn matches_digest(&self, header: &[u8], content: impl Read) -> io::Result<bool> {
        let mut hasher = self.hasher();
        hasher.update_reader(content)?;
        Ok(format!("{}\n", Digest::from(hasher.finalize())).as_bytes() == header)
    }

    fn hasher(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
        // The owner's length comes first. Without the length, different pairs of owner and content could give
        // the hasher the same bytes.
        hasher.update(&(self.owner.len() as u64).to_le_bytes());
        hasher.update(self.owner.as_bytes());
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint_in(folder: &tempfile::TempDir) -> CheckpointFile {
        CheckpointFile::new(folder.path().join("checkpoint"), "cell a")
    }

    #[test]
    fn written_content_is_read_back_and_an_absent_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = checkpoint_in(&folder);
        assert_eq!(file.read().unwrap(), None);
        assert!(!file.remove_if_unusable().unwrap());
        for content in [&b"weights"[..], b""] {
            file.write(content).unwrap();
            assert_eq!(file.read().unwrap().as_deref(), Some(content));
            assert!(!file.remove_if_unusable().unwrap());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let file = checkpoint_in(&folder);
        file.write(b"weights").unwrap();
        let bytes = fs::read(file.path()).unwrap();
        let flipped = (0..bytes.len() * 8).map(|bit| {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        });
        let truncated = (0..bytes.len()).map(|end| bytes[..end].to_vec());
        for damaged in flipped.chain(truncated) {
            fs::write(file.path(), &damaged).unwrap();
            let message = file.read().unwrap_err().to_string();
            assert!(message.contains("checkpoint`: it is damaged"), "{message}");
            assert!(file.remove_if_unusable().unwrap());
            assert_eq!(file.read().unwrap(), None);
        }
    }

    #[test]
    fn the_checkpoint_of_another_owner_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = checkpoint_in(&folder);
        CheckpointFile::new(file.path(), "cell b").write(b"weights").unwrap();
        assert!(file.read().is_err());
        assert!(file.remove_if_unusable().unwrap());
    }
}
