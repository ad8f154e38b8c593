//! Rules for source files: which files may allow `unsafe`, and which files may start processes.

use std::fs;
use std::path::PathBuf;

use crate::module_layers::rust_files;
use crate::root;

/// The sources that may start processes. The supervisor starts workers, `dtr-sandbox` starts programs that a
/// model wrote, and `slurm` starts `squeue` and `sbatch`. In `claim.rs` and `process_identity.rs`, only the unit tests
/// start processes.
const MAY_START_PROCESSES: [&str; 6] = [
    "src/runner/supervisor/",
    "src/slurm/",
    "src/store/claim.rs",
    "crates/dtr-core/src/system_info/process_identity.rs",
    "crates/dtr-sandbox/",
    "tests/",
];

/// Returns the paths of the source files that contain one of `texts`. Leaves out this file.
fn sources_that_contain(texts: &[&str]) -> Vec<String> {
    let folders = ["src", "crates", "tests", "fuzz/src", "fuzz/fuzz_targets"];
    let files: Vec<_> = folders.iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
    assert!(files.len() > 200, "only {} source files were found", files.len());
    let is_match = |path: &PathBuf| {
        let source = fs::read_to_string(path).unwrap();
        texts.iter().any(|text| source.contains(text))
    };
    let name = |path: PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    let names = files.into_iter().filter(is_match).map(name);
    names.filter(|name| name != "tests/library/source_rules.rs").collect()
}

/// In all other sources, the lint `unsafe_code` of `Cargo.toml` forbids `unsafe`.
#[test]
fn only_kernels_and_gpu_code_allow_unsafe() {
    let folders = ["crates/dtr-kernels/src/", "crates/dtr-ops/src/"];
    let is_allowed = |name: &String| folders.iter().any(|folder| name.starts_with(folder));
    let allowing = sources_that_contain(&["allow(unsafe_code", "expect(unsafe_code"]);
    assert!(!allowing.is_empty(), "no source that allows `unsafe` was found");
    assert!(allowing.iter().all(is_allowed), "{allowing:?}");
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for package in crates.chain([root().to_owned(), root().join("fuzz")]) {
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{}", package.display());
    }
}

#[test]
fn only_the_supervisor_and_the_sandbox_start_processes() {
    let starters =
        sources_that_contain(&["process::Command", " Command::new(", "(Command::new(", "libc::system"]);
    let is_allowed = |name: &String| MAY_START_PROCESSES.iter().any(|folder| name.starts_with(folder));
    assert!(starters.iter().all(is_allowed), "{starters:?}");
}
