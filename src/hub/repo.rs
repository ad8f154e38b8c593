//! A repository at a revision, and at a commit.

use std::fmt;

use hf_hub::RepoType;
use serde::{Deserialize, Serialize};

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A model's configuration, weights and tokenizer.
    Model,
    /// Rows of data.
    Dataset,
}

/// A repository at a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repo {
    /// What it holds.
    pub kind: Kind,
    /// `OWNER/NAME`.
    pub id: String,
    /// The branch, tag or commit.
    pub revision: String,
}

impl Repo {
    /// Whether the revision is a commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }

    /// This repository at `commit`.
    pub(super) fn at(&self, commit: String) -> Pinned {
        Pinned { kind: self.kind, id: self.id.clone(), commit }
    }

    pub(super) fn handle(&self) -> hf_hub::Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        hf_hub::Repo::with_revision(self.id.clone(), kind, self.revision.clone())
    }
}

/// A repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pinned {
    /// What it holds.
    pub kind: Kind,
    /// `OWNER/NAME`.
    pub id: String,
    /// The commit, 40 hex digits; a revision's own name in a plan for which the hub could not be asked.
    pub commit: String,
}

impl Pinned {
    /// The repository at this commit as its revision.
    pub fn repo(&self) -> Repo {
        Repo { kind: self.kind, id: self.id.clone(), revision: self.commit.clone() }
    }

    pub(super) fn handle(&self) -> hf_hub::Repo {
        self.repo().handle()
    }

    /// A file's URI in the ecosystem's notation.
    pub fn uri(&self, file: &str) -> String {
        format!("{self}/{file}")
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = if self.kind == Kind::Dataset { "datasets/" } else { "" };
        write!(f, "hf://{folder}{}@{}", self.id, self.commit)
    }
}

/// Whether `text` can name a repository: `OWNER/NAME`, or `NAME` as the oldest are called.
pub fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.matches('/').count() <= 1
        && stays_inside(text)
        && text.bytes().all(|byte| is_plain(byte) || byte == b'/')
}

/// Whether `text` can name a branch, a tag or a commit, by git's rules.
pub fn is_revision(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\\~^:?*[#%".contains(&byte);
    stays_inside(text) && text.bytes().all(is_plain)
}

/// Whether a name with slashes, put below a folder, is a path below that folder.
pub(super) fn stays_inside(name: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    name.split('/').all(is_plain)
}

/// Whether `text` is the full name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
