//! The log of a cell: one line of JSON for each event, added as it happens.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::files;

/// An open log. Its writer holds the cell's claim, so there is only one.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Opens the log at `path` to add to it, and removes a last line that a crash tore.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            file.set_len(whole_lines(&fs::read(path)?).len() as u64)?;
            Ok(file)
        };
        let file = open().map_err(|cause| files::failure("open", path, cause))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Adds an event.
    pub fn append(&mut self, event: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(event)
            .map_err(|cause| Error::failed("an event has no JSON").because(cause))?;
        // One write, so that readers meanwhile see whole lines.
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|cause| files::failure("write", &self.path, cause))
    }
}

/// The events of the log at `path`, in order; none when there is no log. A torn last line is left out.
pub fn read_events<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(files::failure("read", path, cause)),
    };
    let lines = whole_lines(&bytes).split_inclusive(|byte| *byte == b'\n').enumerate();
    let event = |(index, line)| {
        serde_json::from_slice(line).map_err(|cause| {
            let place = format!("`{}`, line {}, is not such an event", path.display(), index + 1);
            Error::environment(place).because(cause)
        })
    };
    lines.map(event).collect()
}

/// `bytes` up to the end of the last whole line.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_left_out_and_the_next_event_begins_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        assert!(read_events::<u32>(&path).unwrap().is_empty());
        Events::open(&path).unwrap().append(&1).unwrap();
        fs::write(&path, "1\n2\n34").unwrap();
        assert_eq!(read_events::<u32>(&path).unwrap(), [1, 2]);
        Events::open(&path).unwrap().append(&3).unwrap();
        assert_eq!(read_events::<u32>(&path).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "1\nx\n3\n").unwrap();
        assert!(read_events::<u32>(&path).unwrap_err().to_string().ends_with("line 2, is not such an event"));
    }
}
