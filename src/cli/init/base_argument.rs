//! The argument `BASE` of `dtr init`: a GGUF file, a directory or a repository of the hub.

use std::path::Path;

use super::relative_path::path_from_folder;
use crate::hub::{is_relative_path, is_repo_id, is_revision};
use crate::manifest::{HubModel, ModelSource};
use dtr_core::error::{Error, Result};
use dtr_model::BaseModel;

/// Maximum length of the name of a base.
const MAX_NAME_BYTES: usize = 100;

/// The ending of GGUF files.
const GGUF_ENDING: &str = ".gguf";

/// A base that a user named on the command line. Paths start from the working directory.
#[derive(Debug)]
pub(super) struct BaseArgument {
    pub source: ModelSource,
    /// The name of the base in the manifest: lower-case letters, digits, hyphens and dots.
    pub name: String,
}

impl BaseArgument {
    /// Interprets `text` as an existing GGUF file, else as an existing directory, else as a repository of the
    /// hub.
    ///
    /// # Errors
    /// Fails if `text` is none of these.
    pub fn parse(text: &str) -> Result<Self> {
        let path = Path::new(text);
        if path.is_file() {
            return match text.to_lowercase().ends_with(GGUF_ENDING) {
                true => Ok(Self::local(path, ModelSource::Gguf(text.to_owned()))),
                false => Err(not_found(text, "it is a file that does not end in `.gguf`")),
            };
        }
        if path.is_dir() {
            return match BaseModel::has_config(path) {
                true => Ok(Self::local(path, ModelSource::Path(text.to_owned()))),
                false => Err(not_found(text, "the directory has no `config.json`")),
            };
        }
        let model = parse_repository(text).ok_or_else(|| {
            not_found(text, "it is no file, no directory, and not the name of a repository")
        })?;
        let name = model.file.as_deref().unwrap_or(&model.repo);
        Ok(Self { name: base_name(name), source: ModelSource::Hub(model) })
    }

    fn local(path: &Path, source: ModelSource) -> Self {
        let named = match path.file_name() {
            Some(_) => path.to_owned(),
            // The path is `.` or ends in `..`.
            None => path.canonicalize().unwrap_or_default(),
        };
        let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { name: base_name(&name), source }
    }

    /// Returns the source for a manifest in `folder`.
    pub fn source_in(&self, folder: &Path) -> Result<ModelSource> {
        let from_folder = |path: &str| path_from_folder(folder, Path::new(path));
        Ok(match &self.source {
            ModelSource::Path(path) => ModelSource::Path(from_folder(path)?),
            ModelSource::Gguf(path) => ModelSource::Gguf(from_folder(path)?),
            other => other.clone(),
        })
    }
}

/// Parses `OWNER/NAME`, `OWNER/NAME@REVISION` or one of these with `/FILE.gguf`.
fn parse_repository(text: &str) -> Option<HubModel> {
    let (owner, rest) = text.split_once('/')?;
    let (repository, revision, file) = match rest.split_once('@') {
        // A revision may contain `/` if no file follows. Before a file, the revision ends at the first `/`.
        Some((name, rest)) => match rest.split_once('/') {
            Some((revision, file)) if is_gguf(rest) => (name, revision, Some(file)),
            _ => (name, rest, None),
        },
        None => match rest.split_once('/') {
            Some((name, file)) => (name, "main", Some(file)),
            None => (rest, "main", None),
        },
    };
    let repo = format!("{owner}/{repository}");
    let is_valid = !owner.is_empty()
        && !repository.is_empty()
        && !is_gguf(repository)
        && is_repo_id(&repo)
        && is_revision(revision)
        && file.is_none_or(|file| is_gguf(file) && is_relative_path(file));
    is_valid.then(|| HubModel {
        repo,
        revision: revision.to_owned(),
        file: file.map(str::to_owned),
        config: None,
    })
}

fn is_gguf(name: &str) -> bool {
    name.ends_with(GGUF_ENDING)
}

fn not_found(text: &str, reason: &str) -> Error {
    Error::manifest(format!("cannot find the base `{text}`: {reason}")).hint(
        "name a GGUF file, a directory in the Hugging Face format, or a repository of the hub: \
         `OWNER/NAME`, `OWNER/NAME@REVISION` or `OWNER/NAME/FILE.gguf`",
    )
}

/// Returns the name of a base, from the last part of its path.
fn base_name(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let last = last.strip_suffix(GGUF_ENDING).unwrap_or(&last);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = last.chars().map(allowed).take(MAX_NAME_BYTES).collect();
    match name.trim_matches(['-', '.']) {
        "" => "base".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_other_texts() {
        let parsed = |text: &str| {
            parse_repository(text).map(|model| (model.repo, model.revision, model.file.unwrap_or_default()))
        };
        for (text, repo, revision, file) in [
            ("a/b-1.5B", "a/b-1.5B", "main", ""),
            ("a/b@v1", "a/b", "v1", ""),
            ("a/b@refs/pr/1", "a/b", "refs/pr/1", ""),
            ("a/b/q/x.gguf", "a/b", "main", "q/x.gguf"),
            ("a/b@v1/q/x.gguf", "a/b", "v1", "q/x.gguf"),
        ] {
            assert_eq!(parsed(text), Some((repo.into(), revision.into(), file.into())), "{text}");
        }
        for text in
            ["b", "a/", "/a/b", "./a/b", "../b", "a/b/c", "a/x.gguf", "a/b@", "a/b/../x.gguf", "a b/c"]
        {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_is_a_valid_key_of_the_manifest() {
        for (path, name) in [
            ("a/Qwen2.5-1.5B", "qwen2.5-1.5b"),
            ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4-1"),
            ("q/Ünï X.GGUF", "n--x"),
            ("...", "base"),
        ] {
            assert_eq!(base_name(path), name);
        }
        assert_eq!(base_name(&"x".repeat(300)).len(), MAX_NAME_BYTES);
    }
}
