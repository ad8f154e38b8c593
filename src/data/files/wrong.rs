//! What is said of a column that does not hold the texts of a corpus.

use std::fmt;

use dtr_core::error::Error;

/// What stands at `place` has no column `column`, but `others`.
pub(super) fn no_column(place: &dyn fmt::Display, column: &str, others: &[&str]) -> Error {
    let others = others.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Error::manifest(format!("{place} has no column `{column}`"))
        .hint(format!("its columns are {others}; `column` names the one that holds the text"))
}

/// A column that holds `kind` where text is wanted.
pub(super) fn no_text(place: &dyn fmt::Display, column: &str, kind: &str) -> Error {
    Error::manifest(format!("{place} holds {kind} in `{column}`, not text"))
        .hint("`column` names the one that holds the text")
}
