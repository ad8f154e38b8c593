//! Reports tests that are skipped because this machine lacks something that they need.

use std::fs::File;
use std::io::{Write, stderr};

/// Reports on standard error that the running test is skipped.
///
/// The test runner hides the texts that a passing test prints with `eprintln!`. The function therefore writes
/// the line to the stream itself. It also appends the line to the file that `DTR_SKIPPED_TESTS` names. CI
/// counts the lines of this file.
pub fn report_skipped(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("a test"));
    // If the report cannot be written, the test does not fail.
    let _ = stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("DTR_SKIPPED_TESTS") {
        let _ = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map(|mut file| file.write_all(line.as_bytes()));
    }
}
