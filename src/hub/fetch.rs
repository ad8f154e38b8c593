//! Downloads files at a pinned commit, and verifies the digests of cached and downloaded files.

use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiError, ApiRepo};

use super::repo::is_relative_path;
use super::request_error::HubRequest;
use super::{Hub, PinnedRepo};
use dtr_core::error::{Error, Result};
use dtr_core::files;

/// A callback for the progress of a download. The arguments are the bytes received so far, and the bytes in
/// total.
///
/// The first number can decrease when the download resumes after a broken connection.
pub type ProgressCallback<'a> = dyn FnMut(u64, u64) + 'a;

/// A complete file in the local cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// The file's path in the cache.
    pub path: PathBuf,
    /// The verified digest of the content, or `None` when the cache does not record a digest.
    pub digest: Option<String>,
}

impl Hub {
    /// Returns a file of a commit from the cache. If the cache lacks the file, downloads it first.
    ///
    /// The digest is verified even if the file was in the cache. An interrupted download resumes where it
    /// stopped, even in a later process. `on_progress` is called only during a download.
    ///
    /// # Errors
    /// Fails when the file cannot be downloaded, or when its digest differs from the hub's digest.
    pub fn fetch_file(
        &self,
        pinned: &PinnedRepo,
        file: &str,
        on_progress: &mut ProgressCallback<'_>,
    ) -> Result<FetchedFile> {
        if let Some(path) = self.cached_file(pinned, file) {
            let digest = verify_digest(&path).map_err(|damage| {
                damage.into_error(pinned, file).hint(format!("remove `{}` and run again", path.display()))
            })?;
            return Ok(FetchedFile { path, digest });
        }
        if self.is_offline {
            return Err(Error::environment(format!(
                "`{}` is not in the cache, and `HF_HUB_OFFLINE` is set",
                pinned.uri(file)
            ))
            .hint(format!(
                "unset `HF_HUB_OFFLINE`, or copy the file into the cache `{}`",
                self.cache.path().display()
            )));
        }
        let path = self.download(pinned, file, on_progress)?;
        let digest = verify_digest(&path).map_err(|damage| {
            remove_cached(&path);
            damage
                .into_error(pinned, file)
                .hint("run again; if the digest differs again, report the file to the repository's owner")
        })?;
        Ok(FetchedFile { path, digest })
    }

    fn download(
        &self,
        pinned: &PinnedRepo,
        file: &str,
        on_progress: &mut ProgressCallback<'_>,
    ) -> Result<PathBuf> {
        let api = self.api()?;
        let repo = api.repo(pinned.to_hf_repo());
        let failed = |cause| self.request_error(HubRequest::File(pinned, file), cause);
        let metadata = api.metadata(&repo.url(file)).map_err(failed)?;
        if metadata.commit_hash() != pinned.commit {
            return Err(Error::environment(format!(
                "`{}` sent commit `{}` in place of `{pinned}`",
                self.endpoint,
                metadata.commit_hash()
            )));
        }
        // The cache uses the etag as a file name.
        if !is_relative_path(metadata.etag()) || metadata.etag().contains('/') {
            return Err(Error::environment(format!(
                "the etag `{}` that `{}` sent for `{}` is not a valid file name",
                metadata.etag(),
                self.endpoint,
                pinned.uri(file)
            )));
        }
        let part = self.cache.repo(pinned.to_hf_repo()).blob_path(metadata.etag()).with_extension("part");
        let path = match download(&repo, file, on_progress) {
            Err(ApiError::InvalidResume) => {
                files::remove_file_or_folder_if_present(&part)?;
                download(&repo, file, on_progress)
            }
            result => result,
        };
        let path = path.map_err(failed)?;
        check_length(&path, metadata.size() as u64, &pinned.uri(file)).map(|()| path)
    }
}

/// Checks that a downloaded file has the length that the hub announced. If not, removes the file and fails.
fn check_length(path: &Path, expected: u64, uri: &str) -> Result<()> {
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length == expected {
        return Ok(());
    }
    remove_cached(path);
    Err(Error::environment(format!(
        "`{uri}` has {length} bytes after the download, and the hub announced {expected}"
    ))
    .hint("run the same command again"))
}

fn download(
    repo: &ApiRepo,
    file: &str,
    callback: &mut ProgressCallback<'_>,
) -> std::result::Result<PathBuf, ApiError> {
    repo.download_with_progress(file, ProgressAdapter { callback, total: 0, received: 0 })
}

/// Forwards the progress reports of the `hf_hub` crate to a callback.
struct ProgressAdapter<'a, 'b> {
    callback: &'a mut ProgressCallback<'b>,
    total: u64,
    received: u64,
}

impl Progress for ProgressAdapter<'_, '_> {
    fn init(&mut self, size: usize, _filename: &str) {
        (self.total, self.received) = (size as u64, 0);
    }

    fn update(&mut self, size: usize) {
        self.received += size as u64;
        (self.callback)(self.received, self.total);
    }

    fn finish(&mut self) {}
}

/// The reason why a cached file failed verification.
enum FileDamage {
    Unreadable(Error),
    WrongDigest { expected: String, actual: String },
}

impl FileDamage {
    fn into_error(self, pinned: &PinnedRepo, file: &str) -> Error {
        match self {
            Self::Unreadable(error) => error,
            Self::WrongDigest { expected, actual } => Error::environment(format!(
                "`{}` is damaged: its digest is {actual}, and the hub's is {expected}",
                pinned.uri(file)
            )),
        }
    }
}

/// Verifies the digest of a cached file and returns it.
///
/// A cached file is a symbolic link to a blob, the file with the content. The name of the blob is the hub's
/// digest of the file.
fn verify_digest(path: &Path) -> std::result::Result<Option<String>, FileDamage> {
    let blob = std::fs::canonicalize(path)
        .map_err(|cause| FileDamage::Unreadable(Error::io("read", path, cause)))?;
    let expected = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match super::digest::compute_hub_digest(&expected, &blob).map_err(FileDamage::Unreadable)? {
        Some(actual) if actual != expected => Err(FileDamage::WrongDigest { expected, actual }),
        digest => Ok(digest),
    }
}

/// Removes a cached file and the blob that the file links to.
fn remove_cached(path: &Path) {
    // A failed removal needs no report, because the next run detects the damage again.
    if let Ok(blob) = std::fs::canonicalize(path) {
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}
