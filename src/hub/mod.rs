//! A client of the Hugging Face hub: pins revisions to commits, downloads files into the shared Hugging Face
//! cache, verifies their digests, and uploads models.
//!
//! The client reads the environment variables of the Python library `huggingface_hub`: `HF_HOME`,
//! `HF_HUB_CACHE`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`.

mod digest;
mod fetch;
mod location;
mod push;
mod repo;
mod request_error;
mod upload_client;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder};

use dtr_core::error::{Error, Result};
use dtr_core::files::user_cache_folder;
pub use fetch::{FetchedFile, ProgressCallback};
pub use location::FileLocation;
pub use push::PushedCommit;
pub use repo::{PinnedRepo, Repo, RepoKind, is_relative_path, is_repo_id, is_revision};
use request_error::HubRequest;

/// The default of `HF_ENDPOINT`.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The number of attempts to resume a broken download.
const NUM_RETRIES: usize = 5;

/// A client of one hub, with its download cache.
pub struct Hub {
    endpoint: String,
    cache: Cache,
    token: Option<String>,
    is_offline: bool,
    /// The commits that this process has resolved so far.
    commits: Mutex<BTreeMap<Repo, String>>,
    /// Whether a request has failed to reach the hub.
    is_unreachable: AtomicBool,
}

/// Returns the process-wide client, configured by the environment.
pub fn default_hub() -> &'static Hub {
    static HUB: OnceLock<Hub> = OnceLock::new();
    HUB.get_or_init(Hub::from_environment)
}

/// Returns the local path of a file. `path` is a local path, or the `hf://` URI of a file in the download
/// cache.
///
/// # Errors
/// Fails when a URI is malformed, its revision cannot be pinned, or its file is not in the cache.
pub fn local_or_cached_path(path: &str) -> Result<PathBuf> {
    match FileLocation::parse(path)? {
        FileLocation::Local(path) => Ok(path),
        FileLocation::Hub(repo, file) => {
            let hub = default_hub();
            let pinned = hub.pin(&repo)?;
            hub.cached_file(&pinned, &file).ok_or_else(|| not_downloaded(&pinned, &file))
        }
    }
}

/// Returns whether a file can be read without a download. `path` is a local path or a `hf://` URI. The result
/// is true for every local path.
///
/// # Errors
/// Fails when a URI is malformed, or when the hub does not know its revision.
pub fn is_local_or_cached(path: &str) -> Result<bool> {
    Ok(match FileLocation::parse(path)? {
        FileLocation::Local(_) => true,
        FileLocation::Hub(repo, file) => {
            let hub = default_hub();
            hub.cached_file(&hub.pin_if_reachable(&repo)?, &file).is_some()
        }
    })
}

/// Returns whether all of the files are local files, or in the cache.
///
/// # Errors
/// Fails if a `hf://` URI is invalid.
pub fn are_local_or_cached<'a>(mut paths: impl Iterator<Item = &'a str>) -> Result<bool> {
    paths.try_fold(true, |all, path| Ok(all && is_local_or_cached(path)?))
}

impl Hub {
    /// Creates a client of the hub at `endpoint`, with its cache in `folder`.
    fn new(endpoint: String, folder: PathBuf, token: Option<String>, is_offline: bool) -> Self {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self {
            endpoint,
            cache: Cache::new(folder),
            token,
            is_offline,
            commits: Mutex::default(),
            is_unreachable: AtomicBool::default(),
        }
    }

    fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let home = variable("HF_HOME")
            .map(PathBuf::from)
            .unwrap_or_else(|| user_cache_folder().unwrap_or_default().join("huggingface"));
        let folder = variable("HF_HUB_CACHE").map(PathBuf::from).unwrap_or_else(|| home.join("hub"));
        let token_file = variable("HF_TOKEN_PATH").map(PathBuf::from).unwrap_or_else(|| home.join("token"));
        let stored_token = || std::fs::read_to_string(token_file).ok();
        let token = variable("HF_TOKEN").or_else(stored_token).map(|token| token.trim().to_owned());
        let is_offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        // `hf_hub` creates relative symbolic links in the cache, and needs absolute paths to compute them.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self::new(endpoint, folder, token.filter(|token| !token.is_empty()), is_offline)
    }

    /// Resolves a repository's revision to its current commit.
    ///
    /// # Errors
    /// Fails when the hub does not know the revision, or when the commit is not known and the hub cannot be
    /// reached.
    pub fn pin(&self, repo: &Repo) -> Result<PinnedRepo> {
        self.resolve_commit(repo)?.map(|commit| repo.at_commit(commit))
    }

    /// Resolves a revision like [`Hub::pin`], but keeps the revision's name when the hub cannot be reached.
    ///
    /// The result then has the name of a branch or tag in place of a commit. Such a name suffices for a plan.
    /// A download needs a commit.
    ///
    /// # Errors
    /// Fails when the hub does not know the revision.
    pub fn pin_if_reachable(&self, repo: &Repo) -> Result<PinnedRepo> {
        let is_unreachable = self.is_unreachable.load(Ordering::Relaxed);
        let commit = match is_unreachable && self.known_commit(repo).is_none() {
            true => repo.revision.clone(),
            false => self.resolve_commit(repo)?.unwrap_or_else(|_| {
                self.is_unreachable.store(true, Ordering::Relaxed);
                repo.revision.clone()
            }),
        };
        Ok(repo.at_commit(commit))
    }

    /// Returns the commit of a revision if it is known without a request.
    fn known_commit(&self, repo: &Repo) -> Option<String> {
        match repo.is_pinned() {
            true => Some(repo.revision.clone()),
            false => self.commits.lock().expect("no holder of this lock panics").get(repo).cloned(),
        }
    }

    /// Returns the commit of a revision. The inner error means that the hub cannot be reached and the commit
    /// is not known. All other failures are outer errors.
    fn resolve_commit(&self, repo: &Repo) -> Result<Result<String>> {
        if let Some(commit) = self.known_commit(repo) {
            return Ok(Ok(commit));
        }
        let commit = match self.is_offline {
            true => self.cached_commit(repo),
            false => self.request_commit(repo)?,
        };
        if let Ok(commit) = &commit {
            let mut commits = self.commits.lock().expect("no holder of this lock panics");
            commits.insert(repo.clone(), commit.clone());
        }
        Ok(commit)
    }

    /// Returns the commit that the cache records for a revision.
    fn cached_commit(&self, repo: &Repo) -> Result<String> {
        let path = self.cache.path().join(repo.to_hf_repo().folder_name()).join("refs").join(&repo.revision);
        let commit = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
        commit.ok().filter(|commit| repo::is_commit(commit)).ok_or_else(|| {
            Error::environment(format!(
                "`HF_HUB_OFFLINE` is set, and the cache has no commit for `{}` of `{}`",
                repo.revision, repo.id
            ))
            .hint("unset `HF_HUB_OFFLINE`, or set the revision to a commit of 40 hexadecimal digits")
        })
    }

    /// Asks the hub for the commit of a revision and records the answer in the cache. The inner error means
    /// that the hub cannot be reached. All other failures are outer errors.
    fn request_commit(&self, repo: &Repo) -> Result<Result<String>> {
        let info = match self.api()?.repo(repo.to_hf_repo()).info() {
            Ok(info) => info,
            Err(cause) => {
                let is_connection_error = request_error::is_connection_error(&cause);
                let error = self.request_error(HubRequest::Commit(repo), cause);
                return if is_connection_error { Ok(Err(error)) } else { Err(error) };
            }
        };
        if !repo::is_commit(&info.sha) {
            return Err(Error::environment(format!(
                "`{0}` named `{1}` as the current commit of `{2}`, but `{1}` is not a commit hash",
                self.endpoint, info.sha, repo.id
            )));
        }
        let recorded = self.cache.repo(repo.to_hf_repo()).create_ref(&info.sha);
        recorded.map_err(|cause| Error::io("write in", self.cache.path(), cause))?;
        Ok(Ok(info.sha))
    }

    /// Returns the cache folder of a commit's files (the `snapshots` folder of the Hugging Face cache).
    pub fn snapshot_folder(&self, pinned: &PinnedRepo) -> PathBuf {
        self.cache.repo(pinned.to_hf_repo()).pointer_path(&pinned.commit)
    }

    /// Returns the path of a commit's file if the cache has it.
    pub fn cached_file(&self, pinned: &PinnedRepo, file: &str) -> Option<PathBuf> {
        let path = self.snapshot_folder(pinned).join(file);
        path.is_file().then_some(path)
    }

    /// Returns the names of a commit's files, in alphabetical order.
    ///
    /// In offline mode, only the files in the cache are listed.
    ///
    /// # Errors
    /// Fails when the hub cannot be reached, or when the hub sends a file name that leads outside of the
    /// repository.
    pub fn list_files(&self, pinned: &PinnedRepo) -> Result<Vec<String>> {
        let folder = self.snapshot_folder(pinned);
        let mut names = match self.is_offline {
            true => list_files_recursively(&folder, &folder)?,
            false => {
                let info = self.api()?.repo(pinned.to_hf_repo()).info();
                let info = info.map_err(|cause| self.request_error(HubRequest::FileList(pinned), cause))?;
                info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()
            }
        };
        names.sort();
        match names.iter().find(|name| !repo::is_relative_path(name)) {
            None => Ok(names),
            Some(name) => Err(Error::environment(format!(
                "`{}` lists a file outside of `{pinned}`: `{name}`",
                self.endpoint
            ))),
        }
    }

    fn api(&self) -> Result<Api> {
        let builder = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("dtr", env!("CARGO_PKG_VERSION"))
            .with_retries(NUM_RETRIES)
            .with_progress(false);
        builder.build().map_err(|cause| {
            Error::environment(format!("cannot create a client of `{}`", self.endpoint)).with_source(cause)
        })
    }
}

fn not_downloaded(pinned: &PinnedRepo, file: &str) -> Error {
    Error::environment(format!("`{}` is not downloaded yet", pinned.uri(file)))
        .hint("run `dtr sweep`, which downloads the files of its manifest")
}

/// Returns the paths of all files below `folder`, relative to `root`. A missing `folder` has no files.
fn list_files_recursively(folder: &Path, root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(names) };
    for entry in entries {
        let path = entry.map_err(|cause| Error::io("list", folder, cause))?.path();
        match path.is_dir() {
            true => names.extend(list_files_recursively(&path, root)?),
            false => names.extend(path.strip_prefix(root).map(|name| name.display().to_string()).ok()),
        }
    }
    Ok(names)
}
