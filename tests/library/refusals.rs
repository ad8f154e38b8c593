//! Checks that each of many invalid inputs is refused by an error that names the fault.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dtr_core::error::{Error, ErrorKind, Result};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// Maximum length of an error in bytes. An error may quote a line of a manifest.
const MAX_MESSAGE_BYTES: usize = 4_000;

/// Counts invalid inputs, and collects the inputs that were not refused correctly. One run of a test can
/// therefore show all failures.
#[derive(Default)]
pub struct Refusals {
    count: usize,
    failures: Vec<String>,
}

impl Refusals {
    /// Checks that `attempt` returns an error that blames the input and contains all of `texts`.
    pub fn check<T>(&mut self, case: &str, texts: &[&str], attempt: impl FnOnce() -> Result<T>) {
        self.count += 1;
        match catch_unwind(AssertUnwindSafe(attempt)) {
            Err(_) => self.failures.push(format!("{case}: panicked")),
            Ok(Ok(_)) => self.failures.push(format!("{case}: accepted")),
            Ok(Err(error)) => self.check_error(case, texts, &error),
        }
    }

    fn check_error(&mut self, case: &str, texts: &[&str], error: &Error) {
        let message = render(error);
        if !matches!(error.kind(), ErrorKind::Manifest | ErrorKind::Environment) {
            self.failures.push(format!("{case}: is of kind {:?}: {message}", error.kind()));
        }
        if message.len() > MAX_MESSAGE_BYTES {
            self.failures.push(format!("{case}: the message has {} bytes", message.len()));
        }
        for text in texts.iter().filter(|text| !message.contains(**text)) {
            self.failures.push(format!("{case}: the message lacks `{text}`: {message}"));
        }
    }

    /// Asserts that all inputs were refused correctly, and that there were at least `min_count` inputs.
    pub fn finish(self, min_count: usize) {
        let failures = self.failures.join("\n");
        assert!(failures.is_empty(), "{} of {}:\n{failures}", self.failures.len(), self.count);
        assert!(self.count >= min_count, "there were {} cases, fewer than {min_count}", self.count);
    }
}

/// Renders the error as the program shows it, without colours and line breaks.
pub fn render(error: &Error) -> String {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_wrap_lines(false);
    let mut text = String::new();
    handler.render_report(&mut text, error).unwrap();
    text
}
