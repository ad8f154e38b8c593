//! Reports of tests that need something this machine lacks.

use std::fs::File;
use std::io::{Write, stderr};

/// Reports that the running test is skipped, past the test runner, which hides what passing tests print.
///
/// The report also goes to the file that `DTR_SKIPPED_TESTS` names, whose lines CI counts.
pub fn report_skipped(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("a test"));
    // Best effort: a report that cannot be written fails no test.
    let _ = stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("DTR_SKIPPED_TESTS") {
        let _ = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map(|mut file| file.write_all(line.as_bytes()));
    }
}
