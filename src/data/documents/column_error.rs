//! Errors about the text column of a corpus file.

use std::fmt;

use dtr_core::error::Error;

/// Returns the error for a row or a file that lacks `column`. `position` names the row or the file. The hint
/// lists the `existing` columns.
pub(super) fn missing_column_error(position: &dyn fmt::Display, column: &str, existing: &[&str]) -> Error {
    let existing = existing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Error::manifest(format!("{position} has no column `{column}`"))
        .hint(format!("set `column` to the text column, one of {existing}"))
}

/// Returns the error for a value that is not text. `position` names the row or the file of the value. `kind`
/// names the type of the value.
pub(super) fn not_text_error(position: &dyn fmt::Display, column: &str, kind: &str) -> Error {
    Error::manifest(format!("{position} holds {kind} in `{column}`, not text"))
        .hint("set `column` to the text column")
}
