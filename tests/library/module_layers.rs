//! A module looks down, never up: the storeys of ARCHITECTURE.md, read from the `use` lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name, besides itself.
const STOREYS: [(&str, &[&str]); 32] = [
    ("error", &[]),
    ("seed", &[]),
    ("stats", &["error", "seed"]),
    ("observer", GROUND),
    ("bounded", &["error", "files"]),
    ("saving", &[]),
    ("sealed", GROUND),
    ("files", GROUND),
    ("hub", GROUND),
    ("manifest", GROUND),
    ("store", GROUND),
    ("ops", GROUND),
    ("device", &["error", "seed", "files", "sealed", "stats", "observer", "hub", "ops"]),
    ("data", WORDS),
    ("model", &["error", "bounded", "seed", "files", "manifest", "ops", "data"]),
    ("optim", MATTER),
    ("sequences", &["error", "seed", "observer", "manifest", "data", "model"]),
    ("requests", MATTER),
    ("plan", &["error", "seed", "files", "hub", "device", "manifest", "data", "model", "requests", "store"]),
    ("distil", DEEDS),
    ("score", DEEDS),
    ("search", DEEDS),
    ("pretrain", DEEDS),
    ("generate", DEEDS),
    ("throughput", DEEDS),
    ("run", ALL_BELOW_ACCOUNT),
    ("bench", ALL_BELOW_ACCOUNT),
    ("report", &["error", "seed", "files", "stats", "manifest", "plan", "store"]),
    ("export", &["error", "files", "manifest", "model", "plan", "store", "run"]),
    ("verify", &["error", "files", "seed", "plan", "store", "run", "report"]),
    ("cli", EVERYTHING),
    ("main", EVERYTHING),
];

const GROUND: &[&str] = &["error", "seed", "files", "sealed", "stats", "observer", "hub"];
const WORDS: &[&str] = &["error", "bounded", "seed", "files", "hub", "manifest"];
const MATTER: &[&str] = &["error", "seed", "files", "manifest", "ops", "data", "model"];
const DEEDS: &[&str] = &[
    "error",
    "seed",
    "files",
    "observer",
    "saving",
    "sealed",
    "manifest",
    "ops",
    "data",
    "model",
    "optim",
    "sequences",
    "requests",
    "store",
];
const ALL_BELOW_ACCOUNT: &[&str] = &[
    "error",
    "seed",
    "stats",
    "files",
    "sealed",
    "observer",
    "hub",
    "manifest",
    "store",
    "device",
    "ops",
    "data",
    "model",
    "sequences",
    "requests",
    "plan",
    "distil",
    "score",
    "search",
    "pretrain",
    "throughput",
];
const EVERYTHING: &[&str] = &[
    "error", "files", "seed", "observer", "device", "manifest", "plan", "store", "run", "report", "export",
    "generate", "ops", "data", "model", "cli", "bench", "verify",
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top module of a file under `src`.
fn module(path: &Path, root: &Path) -> String {
    let first = path.strip_prefix(root).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

#[test]
fn a_module_looks_down_never_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<&str, &[&str]> = STOREYS.into_iter().collect();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 50, "the sources were found");
    let mut wrong = Vec::new();
    for path in files {
        let own = module(&path, &root);
        if own == "lib"
            || path.ends_with("tests.rs")
            || path.components().any(|part| part.as_os_str() == "tests")
        {
            continue;
        }
        let may = allowed.get(own.as_str()).unwrap_or_else(|| panic!("`{own}` has no storey"));
        let text = fs::read_to_string(&path).unwrap();
        // What stands in a file's own tests may look anywhere.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for named in text.split("crate::").skip(1) {
            let name: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name != own && !may.contains(&name.as_str()) {
                wrong.push(format!("{} names crate::{name}", path.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
