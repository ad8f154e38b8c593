//! Locations of files: local paths, and `hf://` URIs of files on the Hugging Face hub.

use std::path::PathBuf;

use super::repo::{Repo, RepoKind, is_relative_path, is_repo_id, is_revision};
use dtr_core::error::{Error, Result};

/// The URI scheme of the hub.
const SCHEME: &str = "hf://";

/// The location of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    /// A path on this machine.
    Local(PathBuf),
    /// A file of a repository on the hub: the repository, and the file's path in it.
    Hub(Repo, String),
}

impl FileLocation {
    /// Returns whether `path` is a `hf://` URI.
    pub fn is_hub_uri(path: &str) -> bool {
        path.starts_with(SCHEME)
    }

    /// Parses a local path or a `hf://` URI.
    ///
    /// The default revision is `main`. A `/` in a revision is written `%2F`.
    ///
    /// # Errors
    /// Fails when a URI lacks a part or has an invalid part.
    pub fn parse(path: &str) -> Result<Self> {
        let Some(rest) = path.strip_prefix(SCHEME) else { return Ok(Self::Local(path.into())) };
        let (kind, rest) = match rest.strip_prefix("datasets/") {
            Some(rest) => (RepoKind::Dataset, rest),
            None => (RepoKind::Model, rest),
        };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        let [owner, name, file] = parts[..] else { return Err(malformed_uri(path)) };
        let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
        let is_complete = [owner, name, revision, file].iter().all(|part| !part.is_empty());
        let (id, revision) = (format!("{owner}/{name}"), revision.replace("%2F", "/"));
        if !is_complete || !is_relative_path(file) || !is_repo_id(&id) || !is_revision(&revision) {
            return Err(malformed_uri(path));
        }
        Ok(Self::Hub(Repo { kind, id, revision }, file.to_owned()))
    }
}

fn malformed_uri(uri: &str) -> Error {
    Error::manifest(format!("`{uri}` is not the URI of a file on the hub")).hint(
        "write `hf://datasets/OWNER/NAME@REVISION/FILE` for a dataset, or `hf://OWNER/NAME@REVISION/FILE` for a model",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(kind: RepoKind, id: &str, revision: &str, file: &str) -> FileLocation {
        FileLocation::Hub(Repo { kind, id: id.into(), revision: revision.into() }, file.into())
    }

    #[test]
    fn uris_and_local_paths_are_distinguished() {
        for (text, location) in [
            ("hf://datasets/a/b@c/d/e.parquet", hub(RepoKind::Dataset, "a/b", "c", "d/e.parquet")),
            ("hf://a/b/c.json", hub(RepoKind::Model, "a/b", "main", "c.json")),
            ("hf://datasets/a/b@refs%2Fpr%2F1/c", hub(RepoKind::Dataset, "a/b", "refs/pr/1", "c")),
            ("datasets/a/b", FileLocation::Local("datasets/a/b".into())),
        ] {
            assert_eq!(FileLocation::parse(text).unwrap(), location);
        }
    }

    #[test]
    fn a_uri_that_lacks_a_part_is_refused() {
        for text in ["hf://a", "hf://datasets/a/b", "hf://datasets/a/b@/c", "hf://a//c", "hf://a/b/../c"] {
            let error = FileLocation::parse(text).unwrap_err().to_string();
            assert!(error.contains("is not the URI of a file on the hub"), "{text}");
        }
    }
}
