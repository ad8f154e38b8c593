//! Where the files of a corpus are: the one place that knows of folders, of `*`, and of the hub.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::hub::{self, FileLocation, Repo};
use dtr_core::error::{Error, Result};

/// The files that `paths` name, in order; those that a `*` finds in the order of their names.
///
/// # Errors
/// When a `*` finds nothing or stands for a folder, a folder cannot be listed, or a file is named twice.
pub(super) fn expand(paths: &[String]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(if path.contains('*') { matching(path)? } else { vec![path.clone()] });
    }
    let mut seen = BTreeSet::new();
    match files.iter().find(|file| !seen.insert(*file)) {
        Some(twice) => Err(Error::manifest(format!("`{twice}` is in the corpus twice"))
            .hint("name it once: its documents would count double")),
        None => Ok(files),
    }
}

fn matching(pattern: &str) -> Result<Vec<String>> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    if folder.contains('*') {
        return Err(Error::manifest(format!("`{pattern}` has a `*` where none is understood"))
            .hint("a `*` may stand in the name of a file, not in that of a folder"));
    }
    if let FileLocation::Hub(repo, file) = FileLocation::parse(pattern)? {
        return on_the_hub(pattern, &repo, &file);
    }
    let folder = if folder.is_empty() { Path::new("/") } else { Path::new(folder) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|cause| Error::io("list", folder, cause))? {
        let entry = entry.map_err(|cause| Error::io("list", folder, cause))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // As in a shell, `*` finds no hidden file.
        if is_match(name, &file) && (name.starts_with('.') || !file.starts_with('.')) {
            found.push(pattern[..pattern.len() - name.len()].to_owned() + &file);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Error::environment(format!("no file is called as `{pattern}` says")));
    }
    Ok(found)
}

/// The files of a repository that a pattern finds; only the hub, or what was downloaded from it, can say.
fn on_the_hub(pattern: &str, repo: &Repo, file: &str) -> Result<Vec<String>> {
    let pinned = hub::default_hub().pin(repo)?;
    let names = hub::default_hub().list_files(&pinned)?;
    let depth = |name: &str| name.matches('/').count();
    let found = names.iter().filter(|name| depth(name) == depth(file) && is_match(file, name));
    let found: Vec<String> = found.map(|name| pinned.uri(name)).collect();
    match found.is_empty() {
        true => Err(Error::environment(format!("no file is called as `{pattern}` says"))),
        false => Ok(found),
    }
}

/// Whether `name` is `pattern` with any characters in place of each `*`.
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
        for (pattern, name, is) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "a-bb-c", true),
            ("a*b*c", "a-c", false),
            ("*", "", true),
            ("part-*.é", "part-0.é", true),
        ] {
            assert_eq!(is_match(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn shards_come_in_the_order_of_their_names_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", ".c.txt", "d.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(expand(&[path("d.md"), path("*.txt")]).unwrap(), ["d.md", "a.txt", "b.txt"].map(path));
        let error = expand(&[path("*.txt"), path("a.txt")]).unwrap_err();
        assert!(error.to_string().ends_with("is in the corpus twice"), "{error}");
        assert!(expand(&[path("*.json")]).is_err(), "nothing is found");
        assert!(expand(&[path("*/a.txt")]).is_err(), "a folder");
    }
}
