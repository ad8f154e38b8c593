//! Modules of the root crate name modules of their own layer and below, never above.
//!
//! Cargo keeps the order between crates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// The modules of the root crate, from the lowest layer to the highest.
const LAYERS: [&[&str]; 9] = [
    &["observer", "stats", "hub", "device", "data"],
    &["algorithms"],
    &["store"],
    &["manifest"],
    &["plan"],
    &["runner"],
    &["report", "export", "verify", "bench"],
    &["cli"],
    &["lib", "main"],
];

/// Returns the Rust files below a folder.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns the layer of a module, or `None` where the name is of no module.
fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Returns the names that follow `crate::` outside of unit tests.
fn named_modules(source: &str) -> impl Iterator<Item = &str> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let end = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    source.split("crate::").skip(1).map(move |text| &text[..end(text)])
}

#[test]
fn no_module_names_one_of_a_higher_layer() {
    let sources = root().join("src");
    let mut violations = Vec::new();
    for path in rust_files(&sources) {
        let file = path.strip_prefix(&sources).unwrap();
        let is_test = file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
        let module = file.iter().next().unwrap().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        let own = layer(module).unwrap_or_else(|| panic!("`{module}` is missing in `LAYERS`"));
        let source = fs::read_to_string(&path).unwrap();
        let is_higher = |name: &&str| layer(name).is_some_and(|layer| layer > own);
        let higher = named_modules(&source).filter(is_higher).filter(|_| !is_test);
        violations.extend(higher.map(|name| format!("{} names crate::{name}", file.display())));
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
