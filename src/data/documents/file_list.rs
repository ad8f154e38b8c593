//! Expands the `*` in a corpus's paths to a list of files, in local folders and in repositories of the
//! Hugging Face hub.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::hub::{self, FileLocation, Repo};
use dtr_core::error::{Error, Result};

/// Expands `paths` to a list of files, in the order of `paths`. The files that match a `*` are in
/// alphabetical order.
///
/// # Errors
/// Fails if a pattern matches no file or has a `*` in a folder's name, if a folder cannot be listed, or if a
/// file is listed twice.
pub(in crate::data) fn expand(paths: &[String]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(if path.contains('*') { matching_files(path)? } else { vec![path.clone()] });
    }
    let mut seen = BTreeSet::new();
    match files.iter().find(|file| !seen.insert(*file)) {
        Some(duplicate) => {
            Err(Error::manifest(format!("`{duplicate}` is listed twice")).hint("list the file only once"))
        }
        None => Ok(files),
    }
}

fn matching_files(pattern: &str) -> Result<Vec<String>> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    if folder.contains('*') {
        return Err(Error::manifest(format!("`{pattern}` has a `*` in the name of a folder"))
            .hint("use `*` in file names only"));
    }
    if let FileLocation::Hub(repo, file) = FileLocation::parse(pattern)? {
        return matching_hub_files(pattern, &repo, &file);
    }
    let folder = if folder.is_empty() { Path::new("/") } else { Path::new(folder) };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|cause| Error::io("list", folder, cause))? {
        let entry = entry.map_err(|cause| Error::io("list", folder, cause))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // As in a shell, `*` matches no hidden file.
        if is_match(name, &file) && (name.starts_with('.') || !file.starts_with('.')) {
            files.push(pattern[..pattern.len() - name.len()].to_owned() + &file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::environment(format!("`{pattern}` matches no file")));
    }
    Ok(files)
}

fn matching_hub_files(pattern: &str, repo: &Repo, file: &str) -> Result<Vec<String>> {
    let pinned = hub::default_hub().pin(repo)?;
    let names = hub::default_hub().list_files(&pinned)?;
    let depth = |name: &str| name.matches('/').count();
    let matches = names.iter().filter(|name| depth(name) == depth(file) && is_match(file, name));
    let files: Vec<String> = matches.map(|name| pinned.uri(name)).collect();
    match files.is_empty() {
        true => Err(Error::environment(format!("`{pattern}` matches no file"))),
        false => Ok(files),
    }
}

/// Returns whether `name` matches `pattern`, in which each `*` stands for any number of characters.
fn is_match(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(index, _)| index).chain([name.len()]);
            ends.into_iter().any(|index| is_match(rest, &name[index..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, matches) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "a-bb-c", true),
            ("a*b*c", "a-c", false),
            ("*", "", true),
            ("part-*.é", "part-0.é", true),
        ] {
            assert_eq!(is_match(pattern, name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn matching_files_are_listed_once_and_in_alphabetical_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", ".c.txt", "d.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(expand(&[path("d.md"), path("*.txt")]).unwrap(), ["d.md", "a.txt", "b.txt"].map(path));
        let error = expand(&[path("*.txt"), path("a.txt")]).unwrap_err();
        assert!(error.to_string().ends_with("is listed twice"), "{error}");
        assert!(expand(&[path("*.json")]).is_err(), "a pattern that matches no file was accepted");
        assert!(expand(&[path("*/a.txt")]).is_err(), "a `*` in a folder's name was accepted");
    }
}
