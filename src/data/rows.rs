//! The rows of a file, each a table of JSON values by column: JSON Lines, or a list of tables.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::files::read_to_string;

/// A row: its columns by name.
pub(super) type Row = Map<String, Value>;

/// Reads all rows of `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Row>> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => lines(path, &read_to_string(path)?),
        Some("json") => list(path, &read_to_string(path)?),
        _ => Err(Error::manifest(format!("`{}` is no file of rows that is served", path.display()))
            .hint("served are `.jsonl`, a table on each line, and `.json`, a list of tables")),
    }
}

fn lines(path: &Path, text: &str) -> Result<Vec<Row>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|cause| {
                Error::manifest(format!("line {} of `{}` is not a table", index + 1, path.display()))
                    .because(cause)
            })
        })
        .collect()
}

fn list(path: &Path, text: &str) -> Result<Vec<Row>> {
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|cause| {
        Error::manifest(format!("`{}` is not a list of tables", path.display())).because(cause)
    })
}
