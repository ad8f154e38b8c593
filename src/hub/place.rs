//! Where a file is: on this machine, or in a repository, in the notation of the hub's own library,
//! `hf://datasets/OWNER/NAME@REVISION/FILE`.

use std::path::PathBuf;

use super::repo::{Kind, Repo, is_id, is_revision, stays_inside};
use dtr_core::error::{Error, Result};

/// How the name of a file of the hub begins.
const SCHEME: &str = "hf://";

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Path(PathBuf),
    /// A file of a repository.
    Hub(Repo, String),
}

impl Place {
    /// Whether `path` names a file of the hub.
    pub fn is_hub(path: &str) -> bool {
        path.starts_with(SCHEME)
    }

    /// Reads a path or a URI. A revision that holds a `/` writes it as `%2F`; without one it is `main`.
    ///
    /// # Errors
    /// When a URI lacks one of its parts.
    pub fn read(path: &str) -> Result<Self> {
        let Some(rest) = path.strip_prefix(SCHEME) else { return Ok(Self::Path(path.into())) };
        let (kind, rest) = match rest.strip_prefix("datasets/") {
            Some(rest) => (Kind::Dataset, rest),
            None => (Kind::Model, rest),
        };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        let [owner, name, file] = parts[..] else { return Err(malformed(path)) };
        let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
        let is_whole = [owner, name, revision, file].iter().all(|part| !part.is_empty());
        let (id, revision) = (format!("{owner}/{name}"), revision.replace("%2F", "/"));
        if !is_whole || !stays_inside(file) || !is_id(&id) || !is_revision(&revision) {
            return Err(malformed(path));
        }
        Ok(Self::Hub(Repo { kind, id, revision }, file.to_owned()))
    }
}

fn malformed(path: &str) -> Error {
    Error::manifest(format!("`{path}` names no file of the hub"))
        .hint("write `hf://datasets/OWNER/NAME@REVISION/FILE`, or without `datasets/` for a model's file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(kind: Kind, id: &str, revision: &str, file: &str) -> Place {
        Place::Hub(Repo { kind, id: id.into(), revision: revision.into() }, file.into())
    }

    #[test]
    fn uris_and_paths_are_told_apart() {
        for (text, place) in [
            ("hf://datasets/a/b@c/d/e.parquet", hub(Kind::Dataset, "a/b", "c", "d/e.parquet")),
            ("hf://a/b/c.json", hub(Kind::Model, "a/b", "main", "c.json")),
            ("hf://datasets/a/b@refs%2Fpr%2F1/c", hub(Kind::Dataset, "a/b", "refs/pr/1", "c")),
            ("datasets/a/b", Place::Path("datasets/a/b".into())),
        ] {
            assert_eq!(Place::read(text).unwrap(), place);
        }
    }

    #[test]
    fn a_uri_without_all_its_parts_is_refused() {
        for text in ["hf://a", "hf://datasets/a/b", "hf://datasets/a/b@/c", "hf://a//c", "hf://a/b/../c"] {
            assert!(
                Place::read(text).unwrap_err().to_string().contains("names no file of the hub"),
                "{text}"
            );
        }
    }
}
