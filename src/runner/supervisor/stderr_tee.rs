//! Copies a worker's standard error to the standard error of this process. Keeps the last bytes for a crash
//! report.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::crash_report::ALLOCATION_FAILURE_PREFIX;
use crate::runner::progress::ProgressDisplay;

/// Number of bytes that are kept for a crash report.
const NUM_KEPT: usize = 4096;

/// The thread that copies a worker's standard error.
pub struct StderrTee(JoinHandle<VecDeque<u8>>);

impl StderrTee {
    /// Redirects the standard error of `worker` to a thread of this process. On a terminal, redirects nothing
    /// and returns `None`, because the worker itself draws bars there.
    ///
    /// If standard output goes to the same file as standard error, also redirects standard output. One pipe
    /// keeps the order of the lines.
    ///
    /// # Errors
    /// Fails if the pipe or the thread cannot be created.
    pub fn attach(worker: &mut Command) -> io::Result<Option<Self>> {
        if io::stderr().is_terminal() {
            return Ok(None);
        }
        let (reader, writer) = io::pipe()?;
        if file_id(&io::stdout())? == file_id(&io::stderr())? {
            worker.stdout(writer.try_clone()?);
        }
        worker.stderr(writer);
        Self::spawn(move || copy_to_stderr(reader)).map(Some)
    }

    /// Redirects the standard error of `worker` to a thread that prints whole lines above the bars of
    /// `display`. Several workers can share the display.
    ///
    /// # Errors
    /// Fails if the pipe or the thread cannot be created.
    pub fn attach_lines(worker: &mut Command, display: Arc<ProgressDisplay>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        worker.stderr(writer);
        Self::spawn(move || copy_lines(reader, &display))
    }

    fn spawn(copy: impl FnOnce() -> VecDeque<u8> + Send + 'static) -> io::Result<Self> {
        Ok(Self(thread::Builder::new().name("tee".to_owned()).spawn(copy)?))
    }

    /// Waits for the end of the stream. Returns the line about a failed allocation. If there is no such line,
    /// returns the last line.
    pub fn crash_line(self) -> Option<String> {
        let kept: Vec<u8> = self.0.join().ok()?.into();
        let text = String::from_utf8_lossy(&kept);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        // Other threads may have written lines after the failed allocation.
        let line = lines()
            .rev()
            .find(|line| line.starts_with(ALLOCATION_FAILURE_PREFIX))
            .or_else(|| lines().next_back());
        line.map(str::to_owned)
    }
}

/// Returns the device and the inode of the file that `stream` writes to.
fn file_id(stream: &impl AsFd) -> io::Result<(u64, u64)> {
    let found = File::from(stream.as_fd().try_clone_to_owned()?).metadata()?;
    Ok((found.dev(), found.ino()))
}

/// Copies bytes until the end of the stream, and returns the last bytes. Continues to read even if the
/// standard error of this process is closed, because a full pipe would block the worker.
fn copy_to_stderr(mut reader: PipeReader) -> VecDeque<u8> {
    let (mut kept, mut bytes) = (VecDeque::new(), [0; NUM_KEPT]);
    while let Ok(count) = reader.read(&mut bytes) {
        if count == 0 {
            break;
        }
        let _ = io::stderr().write_all(&bytes[..count]);
        keep_last(&mut kept, &bytes[..count]);
    }
    kept
}

/// Copies lines until the end of the stream, and returns the last bytes. Adds the line break to a line that a
/// crash cut off.
fn copy_lines(reader: PipeReader, display: &ProgressDisplay) -> VecDeque<u8> {
    let (mut kept, mut line, mut reader) = (VecDeque::new(), Vec::new(), BufReader::new(reader));
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        display.write_to_stderr(&line);
        keep_last(&mut kept, &line);
        line.clear();
    }
    kept
}

fn keep_last(kept: &mut VecDeque<u8>, bytes: &[u8]) {
    kept.extend(bytes);
    kept.drain(..kept.len().saturating_sub(NUM_KEPT));
}
