//! BLAKE3 digests of bytes and files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A BLAKE3 digest, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn hash(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }

    /// Returns the digest's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The size of a part, in bytes. [`digest_file`] reads a large file part by part, and all threads share the
/// hashing of each part. A single thread hashes a file that is smaller than one part.
const PART_BYTES: usize = 1 << 24;

/// Hashes a file without holding all of it in memory. All threads share the hashing of a large file.
///
/// # Errors
/// Fails when the file cannot be read.
pub fn digest_file(path: &Path) -> Result<Digest> {
    let digest = || -> io::Result<Digest> {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path)?;
        if file.metadata()?.len() < PART_BYTES as u64 {
            hasher.update_reader(file)?;
            return Ok(hasher.finalize().into());
        }
        let mut part = Vec::with_capacity(PART_BYTES);
        while file.by_ref().take(PART_BYTES as u64).read_to_end(&mut part)? > 0 {
            hasher.update_rayon(&part);
            part.clear();
        }
        Ok(hasher.finalize().into())
    };
    digest().map_err(|source| Error::io("read", path, source))
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
        // Upper-case digits are refused. If they were accepted, nothing would detect a flipped bit that turns
        // `a` into `A` in a stored digest.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, b"data").unwrap();
        assert_eq!(digest_file(&path).unwrap(), Digest::hash(b"data"));
        for num_bytes in [PART_BYTES, 2 * PART_BYTES + 5] {
            let data: Vec<u8> = (0..num_bytes).map(|index| (index % 251) as u8).collect();
            std::fs::write(&path, &data).unwrap();
            assert_eq!(digest_file(&path).unwrap(), Digest::hash(&data));
        }
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = Digest::hash(b"data");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{digest}\""));
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        assert!("abc".parse::<Digest>().is_err());
    }
}
