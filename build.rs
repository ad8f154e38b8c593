//! Sets two environment variables for the compiler: `DTR_REVISION` is the git revision of the sources, and
//! `DTR_MODIFIED` tells whether the sources have uncommitted changes.

use std::path::Path;
use std::process::Command;

/// The files and folders that the program is built from.
const SOURCES: [&str; 6] = ["src", "crates", "patches", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    println!("cargo:rerun-if-env-changed=DTR_REVISION");
    SOURCES.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    // A build without a git checkout can set `DTR_REVISION` in its environment.
    if std::env::var_os("DTR_REVISION").is_some() {
        return;
    }
    // Git appends a line to `logs/HEAD` for each commit. This script runs again when that file changes.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| Path::new(path).exists());
    log.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    let query = |command: &[&str]| git(&[command, &["--"], &SOURCES].concat());
    if let Some(revision) = query(&["log", "-1", "--format=%H"]).filter(|revision| !revision.is_empty()) {
        println!("cargo:rustc-env=DTR_REVISION={revision}");
    }
    if let Some(changes) = query(&["status", "--porcelain"]) {
        println!("cargo:rustc-env=DTR_MODIFIED={}", !changes.is_empty());
    }
}

/// Runs git and returns its output. Returns `None` if git fails or is not installed.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
