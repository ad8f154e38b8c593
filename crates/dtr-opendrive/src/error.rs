//! Errors of this crate: a message, the line of the file if one is known, and a hint.

use std::fmt;

/// The result of a fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a map, an answer or a completion was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    line: Option<u32>,
    hint: Option<String>,
}

impl Error {
    /// Makes an error without a line.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, hint: None }
    }

    /// Makes an error at a line of the file. The first line is 1.
    pub fn at(line: u32, message: impl Into<String>) -> Self {
        Self { message: message.into(), line: Some(line), hint: None }
    }

    /// Adds a hint how to repair the input.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts `context` and a colon before the message, as in `cannot read X: Y`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The message without line and hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line of the file, counted from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// How to repair the input, if that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
