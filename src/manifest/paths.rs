//! Paths in a manifest. A relative path starts from the folder of the manifest file that contains the path.

use std::path::{Component, Path, PathBuf};

use crate::hub::FileLocation;

/// The form of the paths in a loaded manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PathStyle {
    /// Relative to the working directory, for reading the files.
    #[default]
    Local,
    /// Relative to the folder of the manifest, for comparing manifests. If a manifest and the files that it
    /// extends are copied to another folder, these paths stay the same.
    Portable,
}

/// Joins `folder` and `path` without looking at the file system. Leaves `hf://` URIs as they are.
pub(super) fn portable_path(folder: &Path, path: &str) -> String {
    join_path(folder, path, |_| true)
}

/// Converts a `path` relative to `folder` to a path relative to the working directory. Leaves `hf://` URIs
/// as they are.
///
/// Removes each `..` together with the preceding folder. If this folder is a symbolic link or does not exist,
/// keeps both, because the shorter path could lead to a different file.
pub(super) fn resolve_path(folder: &Path, path: &str) -> String {
    let resolved = join_path(folder, path, is_plain_folder);
    if resolved.is_empty() { ".".to_owned() } else { resolved }
}

/// Joins `folder` and `path`. Removes a `..` together with the preceding folder if `is_removable` returns
/// true for this folder. Leaves `hf://` URIs as they are.
fn join_path(folder: &Path, path: &str, is_removable: impl Fn(&Path) -> bool) -> String {
    if FileLocation::is_hub_uri(path) {
        return path.to_owned();
    }
    let mut joined = PathBuf::new();
    for part in folder.join(path).components() {
        match (part, joined.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) if is_removable(&joined) => {
                joined.pop();
            }
            (part, _) => joined.push(part),
        }
    }
    joined.display().to_string()
}

fn is_plain_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portable_path_depends_on_the_texts_alone() {
        for (folder, path, joined) in [
            ("", "../models/mini", "../models/mini"),
            ("base", "../../data/*.txt", "../data/*.txt"),
            ("absent", "../a.toml", "a.toml"),
            ("../shared", "./b/c", "../shared/b/c"),
            ("base", "/data/../x", "/x"),
            ("base", "hf://datasets/a/b@c/d.parquet", "hf://datasets/a/b@c/d.parquet"),
        ] {
            assert_eq!(portable_path(Path::new(folder), path), joined);
        }
    }

    #[test]
    fn parent_folders_are_resolved() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("experiments/base")).unwrap();
        for (folder, path, resolved) in [
            ("experiments/base", "../../models/mini", "models/mini"),
            ("experiments", "..", ""),
            ("experiments", "../data/*.txt", "data/*.txt"),
            ("experiments", "./a.toml", "experiments/a.toml"),
            ("absent", "../a.toml", "absent/../a.toml"),
        ] {
            assert_eq!(Path::new(&resolve_path(&root.join(folder), path)), root.join(resolved));
        }
        for (folder, path, resolved) in [
            ("", "models/mini", "models/mini"),
            ("../experiments", "/models/./mini", "/models/mini"),
            ("..", "../../models", "../../../models"),
            ("", ".", "."),
            ("/", "../models", "/models"),
            ("", "./a.toml", "a.toml"),
            ("experiments", "hf://datasets/a/b@c/d.parquet", "hf://datasets/a/b@c/d.parquet"),
        ] {
            assert_eq!(resolve_path(Path::new(folder), path), resolved);
        }
    }

    #[test]
    fn a_parent_of_a_symbolic_link_is_the_parent_of_its_target() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("far/away/experiments")).unwrap();
        std::fs::write(root.join("far/away/rows.jsonl"), "").unwrap();
        std::os::unix::fs::symlink("far/away/experiments", root.join("link")).unwrap();
        let resolved = resolve_path(&root.join("link"), "../rows.jsonl");
        let opened = std::fs::canonicalize(&resolved).unwrap();
        assert_eq!(opened, root.join("far/away/rows.jsonl"));
        let inner = resolve_path(&root.join("link"), "./../experiments/../rows.jsonl");
        assert_eq!(std::fs::canonicalize(inner).unwrap(), root.join("far/away/rows.jsonl"));
    }
}
