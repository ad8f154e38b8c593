//! What the sources must not hold: `unsafe` but where it is allowed, and processes started from text. Which crates
//! may not come in is for `deny.toml` to say.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `unsafe` may be allowed: the kernels, and a module that calls a GPU's driver. Everywhere else the lint
/// `unsafe_code` of `Cargo.toml` stands.
const UNSAFE: [&str; 2] = ["crates/dtr-kernels/src/", "crates/dtr-ops/src/"];

/// Who starts processes: the one that watches a sweep, which starts its own program with its own words, a test that
/// kills itself, and the tests of the program.
const STARTERS: [&str; 3] = ["src/run/watch/", "src/store/claim.rs", "tests/"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The sources by their names below the repository, this file left out.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "kernels", "fuzz"] {
        rust_files(&root.join(folder), &mut files);
    }
    assert!(files.len() > 200, "the sources were found");
    let named = files.into_iter().map(|path| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    });
    named.filter(|(name, _)| name != "tests/library/unsafe_code.rs").collect()
}

/// The sources outside `allowed` that say one of `words`.
fn strangers(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let says = |text: &str| words.iter().any(|word| text.contains(word));
    let stranger = |(name, text): (String, String)| {
        let is_allowed = allowed.iter().any(|start| name.starts_with(start));
        (!is_allowed && says(&text)).then_some(name)
    };
    sources().into_iter().filter_map(stranger).collect()
}

#[test]
fn unsafe_is_allowed_nowhere_but_in_kernels_and_the_gpu_module() {
    assert!(strangers(&["allow(unsafe_code", "expect(unsafe_code"], &UNSAFE).is_empty());
    for manifest in ["Cargo.toml", "kernels/Cargo.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
        let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "both crates keep the lints");
    }
}

#[test]
fn no_process_is_started_but_by_tests() {
    let starters = strangers(&["process::Command", "Command::new(", "libc::system"], &STARTERS);
    assert!(starters.is_empty(), "{starters:?}");
}
