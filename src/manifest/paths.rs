//! Paths in a manifest, which are relative to the file that holds them. URIs of the Hugging Face hub are
//! absolute.

use std::path::{Component, Path, PathBuf};

use crate::hub::FileLocation;

/// Converts a `path` relative to `folder` to a path relative to the working directory.
///
/// A `..` removes the folder before it, as in Cargo's paths. Symbolic links are not followed.
pub(super) fn resolve_path(folder: &Path, path: &str) -> String {
    if FileLocation::is_hub_uri(path) {
        return path.to_owned();
    }
    let mut resolved = PathBuf::new();
    for part in folder.join(path).components() {
        match (part, resolved.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                resolved.pop();
            }
            (part, _) => resolved.push(part),
        }
    }
    if resolved.as_os_str().is_empty() {
        return ".".to_owned();
    }
    resolved.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_folders_are_resolved() {
        for (folder, path, resolved) in [
            ("", "models/mini", "models/mini"),
            ("experiments/base", "../../models/mini", "models/mini"),
            ("../experiments", "../../models", "../../models"),
            ("experiments", "/models/./mini", "/models/mini"),
            ("experiments", "..", "."),
            ("", "./a.toml", "a.toml"),
            ("experiments", "../data/*.txt", "data/*.txt"),
            ("experiments", "hf://datasets/a/b@c/d.parquet", "hf://datasets/a/b@c/d.parquet"),
        ] {
            assert_eq!(resolve_path(Path::new(folder), path), resolved);
        }
    }
}
