//! Each module of the root crate may name only the modules that ARCHITECTURE.md lists before it.
//!
//! Cargo enforces the order of the crates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// Returns the modules in the order in which the table of ARCHITECTURE.md lists them.
fn documented_modules() -> Vec<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Modules of `src/`").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

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

/// Returns the module names that follow `crate::` in a source file, outside of unit tests.
fn named_modules(source: &str) -> impl Iterator<Item = &str> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let end = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    source.split("crate::").skip(1).map(move |text| &text[..end(text)])
}

#[test]
fn a_module_names_only_modules_above_it_in_the_table() {
    let sources = root().join("src");
    let modules = documented_modules();
    let layer = |name: &str| modules.iter().position(|module| module == name);
    let mut violations = Vec::new();
    for path in rust_files(&sources) {
        let file = path.strip_prefix(&sources).unwrap();
        let is_test = file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
        let module = file.iter().next().unwrap().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("`{module}` is missing in ARCHITECTURE.md"));
        let source = fs::read_to_string(&path).unwrap();
        let is_higher = |name: &&str| layer(name).is_some_and(|layer| layer > own);
        let higher = named_modules(&source).filter(is_higher).filter(|_| !is_test);
        violations.extend(higher.map(|name| format!("{} must not name crate::{name}", file.display())));
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
