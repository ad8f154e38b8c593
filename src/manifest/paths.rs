//! Paths that a manifest names, relative to the file that names them. Files of the hub have a URI, which is the
//! same everywhere.

use std::path::{Component, Path, PathBuf};

use crate::hub::FileLocation;

/// `path` as seen from `folder`; a `..` takes back the folder before it, as cargo reads paths.
pub(super) fn join(folder: &Path, path: &str) -> String {
    if FileLocation::is_hub_uri(path) {
        return path.to_owned();
    }
    let mut joined = PathBuf::new();
    for part in folder.join(path).components() {
        match (part, joined.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                joined.pop();
            }
            (part, _) => joined.push(part),
        }
    }
    if joined.as_os_str().is_empty() {
        return ".".to_owned();
    }
    joined.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_left_again_are_dropped() {
        for (folder, path, joined) in [
            ("", "models/mini", "models/mini"),
            ("experiments/base", "../../models/mini", "models/mini"),
            ("../experiments", "../../models", "../../models"),
            ("experiments", "/models/./mini", "/models/mini"),
            ("experiments", "..", "."),
            ("", "./a.toml", "a.toml"),
            ("experiments", "../data/*.txt", "data/*.txt"),
            ("experiments", "hf://datasets/a/b@c/d.parquet", "hf://datasets/a/b@c/d.parquet"),
        ] {
            assert_eq!(join(Path::new(folder), path), joined);
        }
    }
}
