//! Repositories of the hub, at a revision or at a commit.

use std::fmt;

use hf_hub::RepoType;
use serde::{Deserialize, Serialize};

/// The kind of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepoKind {
    /// A model: configuration, weights and tokenizer.
    Model,
    /// A dataset.
    Dataset,
}

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repo {
    /// The kind of the repository.
    pub kind: RepoKind,
    /// The repository's name, `OWNER/NAME`.
    pub id: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

impl Repo {
    /// Returns whether the revision is a commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }

    /// Returns this repository at `commit`.
    pub(super) fn at_commit(&self, commit: String) -> PinnedRepo {
        PinnedRepo { kind: self.kind, id: self.id.clone(), commit }
    }

    /// Converts to the repository type of the `hf_hub` crate.
    pub(super) fn to_hf_repo(&self) -> hf_hub::Repo {
        let kind = match self.kind {
            RepoKind::Model => RepoType::Model,
            RepoKind::Dataset => RepoType::Dataset,
        };
        hf_hub::Repo::with_revision(self.id.clone(), kind, self.revision.clone())
    }
}

/// A repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PinnedRepo {
    /// The kind of the repository.
    pub kind: RepoKind,
    /// The repository's name, `OWNER/NAME`.
    pub id: String,
    /// The commit, 40 hexadecimal digits.
    ///
    /// If a plan was made while the hub was unreachable, this can be the name of a branch or tag.
    pub commit: String,
}

impl PinnedRepo {
    /// Returns the repository with the commit as its revision.
    pub fn repo(&self) -> Repo {
        Repo { kind: self.kind, id: self.id.clone(), revision: self.commit.clone() }
    }

    pub(super) fn to_hf_repo(&self) -> hf_hub::Repo {
        self.repo().to_hf_repo()
    }

    /// Returns the `hf://` URI of a file.
    pub fn uri(&self, file: &str) -> String {
        format!("{self}/{file}")
    }
}

impl fmt::Display for PinnedRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = if self.kind == RepoKind::Dataset { "datasets/" } else { "" };
        write!(f, "hf://{folder}{}@{}", self.id, self.commit)
    }
}

/// Returns whether `text` can name a repository: `OWNER/NAME`, or `NAME` for the oldest repositories.
pub fn is_repo_id(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.matches('/').count() <= 1
        && is_relative_path(text)
        && text.bytes().all(|byte| is_valid(byte) || byte == b'/')
}

/// Returns whether `text` can name a branch, a tag or a commit, by Git's rules.
pub fn is_revision(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_graphic() && !b"\\~^:?*[#%".contains(&byte);
    is_relative_path(text) && text.bytes().all(is_valid)
}

/// Returns whether `name`, a path with `/` separators, stays inside the folder to which it is joined.
pub fn is_relative_path(name: &str) -> bool {
    let is_valid = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    name.split('/').all(is_valid)
}

/// Returns whether `text` is a full commit hash.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
