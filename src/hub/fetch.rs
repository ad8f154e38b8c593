//! A file of a commit, whole: found in the cache or downloaded, and its digest compared with its name.

use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiError, ApiRepo};

use super::failure::Asked;
use super::repo::stays_inside;
use super::{Hub, Pinned};
use dtr_core::error::{Error, Result};
use dtr_core::files;

/// Hears how many bytes of a file, and of how many, are there; may hear of a lower number after a break.
pub type Listener<'a> = dyn FnMut(u64, u64) + 'a;

/// A file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// The digest that the hub names it by, which its content has; none where the cache keeps no such name.
    pub digest: Option<String>,
}

impl Hub {
    /// A file of a commit: found in the cache, or downloaded into it; in both cases checked.
    ///
    /// A download that breaks off is taken up where it stopped, now or by the next process. `pinned` and
    /// `file` name something that the hub has; `listener` hears of a download only.
    ///
    /// # Errors
    /// What [`Hub`] cannot get, and a file whose digest is not the one that the hub names it by.
    pub fn fetch(&self, pinned: &Pinned, file: &str, listener: &mut Listener<'_>) -> Result<Fetched> {
        if let Some(path) = self.cached(pinned, file) {
            let digest = verify(&path).map_err(|damage| {
                damage.into_error(pinned, file).hint(format!("remove `{}` and run again", path.display()))
            })?;
            return Ok(Fetched { path, digest });
        }
        if self.is_offline {
            return Err(Error::environment(format!(
                "`HF_HUB_OFFLINE` is set, and `{}` is not in the cache",
                pinned.uri(file)
            ))
            .hint(format!("unset it, or fill the cache `{}`", self.cache.path().display())));
        }
        let path = self.download(pinned, file, listener)?;
        let digest = verify(&path).map_err(|damage| {
            discard(&path);
            damage
                .into_error(pinned, file)
                .hint("what came was removed; run again, and if it fails again ask the hub's keepers")
        })?;
        Ok(Fetched { path, digest })
    }

    fn download(&self, pinned: &Pinned, file: &str, listener: &mut Listener<'_>) -> Result<PathBuf> {
        let api = self.api()?;
        let repo = api.repo(pinned.handle());
        let failed = |cause| self.failure(Asked::File(pinned, file), cause);
        let metadata = api.metadata(&repo.url(file)).map_err(failed)?;
        if metadata.commit_hash() != pinned.commit {
            return Err(Error::environment(format!(
                "`{}` answers for `{pinned}` with the commit `{}`",
                self.endpoint,
                metadata.commit_hash()
            )));
        }
        // The cache names its files by this.
        if !stays_inside(metadata.etag()) || metadata.etag().contains('/') {
            return Err(Error::environment(format!(
                "`{}` names the content of `{}` by `{}`, which cannot be a file's name",
                self.endpoint,
                pinned.uri(file),
                metadata.etag()
            )));
        }
        let part = self.cache.repo(pinned.handle()).blob_path(metadata.etag()).with_extension("part");
        let path = match download(&repo, file, listener) {
            Err(ApiError::InvalidResume) => {
                files::remove_if_present(&part)?;
                download(&repo, file, listener)
            }
            other => other,
        };
        let path = path.map_err(failed)?;
        let length = std::fs::metadata(&path).map_or(0, |found| found.len());
        if length != metadata.size() as u64 {
            discard(&path);
            return Err(Error::environment(format!(
                "`{}` came with {length} bytes, and the hub says that it has {}",
                pinned.uri(file),
                metadata.size()
            ))
            .hint("what came was removed; run the same command again"));
        }
        Ok(path)
    }
}

fn download(
    repo: &ApiRepo,
    file: &str,
    listener: &mut Listener<'_>,
) -> std::result::Result<PathBuf, ApiError> {
    repo.download_with_progress(file, Heard { listener, total: 0, there: 0 })
}

/// Passes the crate's news on.
struct Heard<'a, 'b> {
    listener: &'a mut Listener<'b>,
    total: u64,
    there: u64,
}

impl Progress for Heard<'_, '_> {
    fn init(&mut self, size: usize, _filename: &str) {
        (self.total, self.there) = (size as u64, 0);
    }

    fn update(&mut self, size: usize) {
        self.there += size as u64;
        (self.listener)(self.there, self.total);
    }

    fn finish(&mut self) {}
}

/// A file that is not what its name says, or could not be read.
enum Damage {
    Unread(Error),
    Differs { name: String, found: String },
}

impl Damage {
    fn into_error(self, pinned: &Pinned, file: &str) -> Error {
        match self {
            Self::Unread(error) => error,
            Self::Differs { name, found } => Error::environment(format!(
                "`{}` is damaged: its digest is {found}, and the hub names it {name}",
                pinned.uri(file)
            )),
        }
    }
}

/// The digest of a file of the cache, which must be the name of the blob that it links to.
fn verify(path: &Path) -> std::result::Result<Option<String>, Damage> {
    let blob = std::fs::canonicalize(path).map_err(|cause| Damage::Unread(Error::io("read", path, cause)))?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match super::digest::digest_like(&name, &blob).map_err(Damage::Unread)? {
        Some(found) if found != name => Err(Damage::Differs { name, found }),
        digest => Ok(digest),
    }
}

/// Removes a file of the cache and the blob it links to.
fn discard(path: &Path) {
    if let Ok(blob) = std::fs::canonicalize(path) {
        // It is refused all the same: a file that stays is found damaged again.
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}
