//! Repositories of the Hugging Face hub: a revision pinned to a commit, files downloaded whole into the
//! ecosystem's own cache, and digests checked before anything is read.
//!
//! Knows nothing of the project. The environment says where things are, as it does for the hub's own
//! library: `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`.

mod digest;
mod failure;
mod fetch;
mod place;
mod repo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder};

use dtr_core::error::{Error, Result};
use failure::Asked;
pub use fetch::{Fetched, Listener};
pub use place::Place;
pub use repo::{Kind, Pinned, Repo, is_id, is_revision};

/// Where the hub is when `HF_ENDPOINT` says nothing.
const ENDPOINT: &str = "https://huggingface.co";

/// How often a broken download is taken up again before it is given up.
const NUM_RETRIES: usize = 5;

/// A hub, the cache of what was downloaded from it, and the right to ask for more.
pub struct Hub {
    endpoint: String,
    cache: Cache,
    token: Option<String>,
    is_offline: bool,
    commits: Mutex<BTreeMap<Repo, String>>,
    /// Whether it was asked in vain.
    is_unreachable: AtomicBool,
}

/// The hub that the environment names.
pub fn here() -> &'static Hub {
    static HERE: OnceLock<Hub> = OnceLock::new();
    HERE.get_or_init(Hub::from_environment)
}

/// A path or a `hf://` URI as a path on this machine.
///
/// # Errors
/// When a URI is not one, its revision cannot be pinned, or its file was not downloaded yet.
pub fn local(path: &str) -> Result<PathBuf> {
    match Place::read(path)? {
        Place::Path(path) => Ok(path),
        Place::Hub(repo, file) => {
            let hub = here();
            let pinned = hub.pin(&repo)?;
            let found = hub.cached(&pinned, &file);
            found.ok_or_else(|| hub.absent(&pinned, &file))
        }
    }
}

/// Whether the file of a path or a `hf://` URI can be read now, or is still to be downloaded; a path counts as here.
///
/// # Errors
/// When a URI is not one.
pub fn is_here(path: &str) -> Result<bool> {
    Ok(match Place::read(path)? {
        Place::Path(_) => true,
        Place::Hub(repo, file) => here().cached(&here().name(&repo)?, &file).is_some(),
    })
}

impl Hub {
    /// A hub at `endpoint` with a cache in `folder`.
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
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let user_cache = || set("XDG_CACHE_HOME").map(PathBuf::from);
        let user_home = || std::env::home_dir().unwrap_or_default().join(".cache");
        let home = set("HF_HOME")
            .map(PathBuf::from)
            .unwrap_or_else(|| user_cache().unwrap_or_else(user_home).join("huggingface"));
        let folder = set("HF_HUB_CACHE").map(PathBuf::from).unwrap_or_else(|| home.join("hub"));
        let token_file = set("HF_TOKEN_PATH").map(PathBuf::from).unwrap_or_else(|| home.join("token"));
        let kept = || std::fs::read_to_string(token_file).ok();
        let token = set("HF_TOKEN").or_else(kept).map(|token| token.trim().to_owned());
        let is_offline = set("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        // The crate keeps relative links, for which both ends must be absolute.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self::new(endpoint, folder, token.filter(|token| !token.is_empty()), is_offline)
    }

    /// The commit that a repository's revision stands for now; a full commit stands for itself.
    ///
    /// # Errors
    /// When the hub does not know it, cannot be asked, or may not be asked and it was never pinned here.
    pub fn pin(&self, repo: &Repo) -> Result<Pinned> {
        self.commit(repo)?.map(|commit| repo.at(commit))
    }

    /// The commit as [`Hub::pin`] finds it, or the revision's own name where the hub cannot be asked: enough to plan
    /// with, and refused by whatever would run it.
    ///
    /// # Errors
    /// When the hub does not know the revision.
    pub fn name(&self, repo: &Repo) -> Result<Pinned> {
        let commit = match self.is_unreachable.load(Ordering::Relaxed) && self.known(repo).is_none() {
            true => repo.revision.clone(),
            false => self.commit(repo)?.unwrap_or_else(|_| {
                self.is_unreachable.store(true, Ordering::Relaxed);
                repo.revision.clone()
            }),
        };
        Ok(repo.at(commit))
    }

    /// The commit that needs no asking.
    fn known(&self, repo: &Repo) -> Option<String> {
        match repo.is_pinned() {
            true => Some(repo.revision.clone()),
            false => self.commits.lock().expect("no holder of this lock panics").get(repo).cloned(),
        }
    }

    /// The commit of a revision; inside, why the hub could not be asked for it.
    fn commit(&self, repo: &Repo) -> Result<Result<String>> {
        if let Some(commit) = self.known(repo) {
            return Ok(Ok(commit));
        }
        let commit = match self.is_offline {
            true => self.remembered(repo),
            false => self.ask(repo)?,
        };
        if let Ok(commit) = &commit {
            let mut commits = self.commits.lock().expect("no holder of this lock panics");
            commits.insert(repo.clone(), commit.clone());
        }
        Ok(commit)
    }

    /// The commit that the cache has for a revision.
    fn remembered(&self, repo: &Repo) -> Result<String> {
        let path = self.cache.path().join(repo.handle().folder_name()).join("refs").join(&repo.revision);
        let commit = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
        commit.ok().filter(|commit| repo::is_commit(commit)).ok_or_else(|| {
            Error::environment(format!(
                "`HF_HUB_OFFLINE` is set, and the cache does not know which commit `{}` of `{}` is",
                repo.revision, repo.id
            ))
            .hint("unset `HF_HUB_OFFLINE`, or name the commit, 40 hex digits, as the revision")
        })
    }

    /// The commit that the hub has for a revision, kept for when it may not be asked; inside, why it could not be
    /// reached.
    fn ask(&self, repo: &Repo) -> Result<Result<String>> {
        let info = match self.api()?.repo(repo.handle()).info() {
            Ok(info) => info,
            Err(cause) if failure::is_of_the_connection(&cause) => {
                return Ok(Err(self.failure(Asked::Revision(repo), cause)));
            }
            Err(cause) => return Err(self.failure(Asked::Revision(repo), cause)),
        };
        if !repo::is_commit(&info.sha) {
            return Err(Error::environment(format!(
                "`{}` names `{}` as a commit of `{}`, which is none",
                self.endpoint, info.sha, repo.id
            )));
        }
        let kept = self.cache.repo(repo.handle()).create_ref(&info.sha);
        kept.map_err(|cause| dtr_core::error::Error::io("write in", self.cache.path(), cause))?;
        Ok(Ok(info.sha))
    }

    /// The folder that holds a commit's files once they are downloaded.
    pub fn folder(&self, pinned: &Pinned) -> PathBuf {
        self.cache.repo(pinned.handle()).pointer_path(&pinned.commit)
    }

    /// A file of a commit, if it was downloaded.
    pub fn cached(&self, pinned: &Pinned, file: &str) -> Option<PathBuf> {
        let path = self.folder(pinned).join(file);
        path.is_file().then_some(path)
    }

    /// The names of a commit's files: what the hub has, or what was downloaded where it may not be asked.
    pub fn list(&self, pinned: &Pinned) -> Result<Vec<String>> {
        let folder = self.folder(pinned);
        let mut names = match self.is_offline {
            true => names_below(&folder, &folder)?,
            false => {
                let info = self.api()?.repo(pinned.handle()).info();
                let info = info.map_err(|cause| self.failure(Asked::Files(pinned), cause))?;
                info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()
            }
        };
        names.sort();
        match names.iter().find(|name| !repo::stays_inside(name)) {
            None => Ok(names),
            Some(name) => Err(Error::environment(format!(
                "`{}` names a file outside of `{pinned}`: `{name}`",
                self.endpoint
            ))),
        }
    }

    fn absent(&self, pinned: &Pinned, file: &str) -> Error {
        Error::environment(format!("`{}` is not downloaded yet", pinned.uri(file)))
            .hint("`dtr sweep` downloads what it needs")
    }

    fn api(&self) -> Result<Api> {
        let builder = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("dtr", env!("CARGO_PKG_VERSION"))
            .with_retries(NUM_RETRIES)
            .with_progress(false);
        builder.build().map_err(|cause| Error::environment("cannot set up a connection").with_source(cause))
    }
}

/// Names of all files below `folder`, as seen from `root`; none where there is no such folder.
fn names_below(folder: &Path, root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(names) };
    for entry in entries {
        let path = entry.map_err(|cause| dtr_core::error::Error::io("list", folder, cause))?.path();
        match path.is_dir() {
            true => names.extend(names_below(&path, root)?),
            false => names.extend(path.strip_prefix(root).map(|name| name.display().to_string()).ok()),
        }
    }
    Ok(names)
}
