//! Tells the program which revision of its source it is made of, where git knows.

use std::path::Path;
use std::process::Command;

/// What the program is made of.
const SOURCE: [&str; 6] = ["src", "kernels", "patches", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    println!("cargo:rerun-if-env-changed=DTR_REVISION");
    SOURCE.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    // A build from elsewhere than a checkout can say it itself.
    if std::env::var_os("DTR_REVISION").is_some() {
        return;
    }
    // The log of HEAD grows with every commit.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| Path::new(path).exists());
    log.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    let about = |command: &[&str]| git(&[command, &["--"], &SOURCE].concat());
    if let Some(revision) = about(&["log", "-1", "--format=%H"]).filter(|revision| !revision.is_empty()) {
        println!("cargo:rustc-env=DTR_REVISION={revision}");
    }
    if let Some(changes) = about(&["status", "--porcelain"]) {
        println!("cargo:rustc-env=DTR_MODIFIED={}", !changes.is_empty());
    }
}

/// What git says; nothing where it is not there, or this is no checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
