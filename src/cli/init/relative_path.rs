//! Converts paths of the command line to paths of a manifest. Paths of a manifest start from the folder of
//! the manifest.

use std::path::{Component, Path, PathBuf};

use dtr_core::error::{Error, Result};

/// Converts an existing `path` to a path from `folder`. If `path` is absolute, or if `folder` is the working
/// directory, returns `path` unchanged.
///
/// # Errors
/// Fails if a folder cannot be read.
pub(super) fn path_from_folder(folder: &Path, path: &Path) -> Result<String> {
    let here = canonicalize(Path::new("."))?;
    let folder = canonicalize(folder)?;
    if path.is_absolute() || folder == here {
        return Ok(path.display().to_string());
    }
    // The last part may be a symbolic link. Its name matters, so the link is not followed.
    let target = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => canonicalize(&Path::new(".").join(parent))?.join(name),
        _ => canonicalize(path)?,
    };
    Ok(difference(&folder, &target).display().to_string())
}

fn canonicalize(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|cause| Error::io("read", path, cause))
}

/// Returns the path from `folder` to `target`. Both arguments must be absolute.
fn difference(folder: &Path, target: &Path) -> PathBuf {
    let shared = folder.components().zip(target.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(target.components().skip(shared)).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_from_the_folder_to_the_target() {
        for (folder, target, path) in [
            ("/a/b", "/a/b/x", "x"),
            ("/a/b", "/a/c/x", "../c/x"),
            ("/a/b", "/x", "../../x"),
            ("/a/b", "/a/b", "."),
            ("/a/b", "/a", ".."),
        ] {
            assert_eq!(difference(Path::new(folder), Path::new(target)), Path::new(path));
        }
    }
}
