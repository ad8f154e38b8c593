//! The digests that the hub gives for its files: SHA-256 for large files, Git object ids for all other
//! files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use dtr_core::error::{Error, Result};

/// The number of bytes that are read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// A digest scheme of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DigestScheme {
    /// SHA-256 of the content.
    Sha256,
    /// SHA-1 of Git's blob header and the content.
    GitBlob,
}

/// Returns the hexadecimal digest of the file at `path`, computed by the scheme of `hub_digest`.
///
/// `hub_digest` is the digest that the hub gives for the file. Returns `None` when `hub_digest` has the form
/// of neither scheme.
///
/// # Errors
/// Fails when the file cannot be read.
pub(super) fn compute_hub_digest(hub_digest: &str, path: &Path) -> Result<Option<String>> {
    let Some(scheme) = detect_scheme(hub_digest) else { return Ok(None) };
    let digest = || -> io::Result<String> {
        let mut file = File::open(path)?;
        match scheme {
            DigestScheme::Sha256 => digest_file(Sha256::new(), &mut file),
            DigestScheme::GitBlob => {
                let header = format!("blob {}\0", file.metadata()?.len());
                digest_file(Sha1::new_with_prefix(header), &mut file)
            }
        }
    };
    digest().map(Some).map_err(|cause| Error::io("read", path, cause))
}

/// Detects the scheme of a digest by the digest's length.
fn detect_scheme(hub_digest: &str) -> Option<DigestScheme> {
    let is_hex = hub_digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    match hub_digest.len() {
        64 if is_hex => Some(DigestScheme::Sha256),
        40 if is_hex => Some(DigestScheme::GitBlob),
        _ => None,
    }
}

fn digest_file<D: Digest>(mut digest: D, file: &mut File) -> io::Result<String> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block)? {
            0 => break,
            count => digest.update(&block[..count]),
        }
    }
    let mut text = String::new();
    for byte in digest.finalize() {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_equal_to_the_digests_of_git_and_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "hello\n").unwrap();
        let digest = |name: &str| compute_hub_digest(name, &path).unwrap();
        // The expected digests are from `git hash-object` and `sha256sum`.
        assert_eq!(digest(&"0".repeat(40)).unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(
            digest(&"0".repeat(64)).unwrap(),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
        assert_eq!(digest("an etag"), None);
    }
}
