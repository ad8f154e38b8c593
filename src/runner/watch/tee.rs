//! What a worker says on standard error, passed on as it comes, and its end kept for when that is all there is.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread::{self, JoinHandle};

use super::death::NO_MEMORY;

/// Bytes that are kept.
const NUM_KEPT: usize = 4096;

/// Listens to a worker.
pub struct Tee(JoinHandle<VecDeque<u8>>);

impl Tee {
    /// Has `worker` say to this process what it says on standard error; none on a terminal, where bars are drawn
    /// and the user reads for himself.
    ///
    /// Where standard output goes to the same file it comes along, or lines would change places.
    pub fn of(worker: &mut Command) -> io::Result<Option<Self>> {
        if io::stderr().is_terminal() {
            return Ok(None);
        }
        let (reader, writer) = io::pipe()?;
        if file(&io::stdout())? == file(&io::stderr())? {
            worker.stdout(writer.try_clone()?);
        }
        worker.stderr(writer);
        Ok(Some(Self(thread::Builder::new().name("tee".to_owned()).spawn(move || pass_on(reader))?)))
    }

    /// What was said last, once nobody can say more.
    pub fn last_words(self) -> Option<String> {
        let kept: Vec<u8> = self.0.join().ok()?.into();
        let text = String::from_utf8_lossy(&kept);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        // Other threads may have said something while this one found that it could not go on.
        let last = lines().rev().find(|line| line.starts_with(NO_MEMORY)).or_else(|| lines().next_back());
        last.map(str::to_owned)
    }
}

/// Device and number of the file that `stream` leads to.
fn file(stream: &impl AsFd) -> io::Result<(u64, u64)> {
    let found = File::from(stream.as_fd().try_clone_to_owned()?).metadata()?;
    Ok((found.dev(), found.ino()))
}

/// Passes on what comes until nobody can say more. That nobody hears it is no reason to keep the worker waiting.
fn pass_on(mut reader: PipeReader) -> VecDeque<u8> {
    let (mut kept, mut bytes) = (VecDeque::new(), [0; NUM_KEPT]);
    while let Ok(count) = reader.read(&mut bytes) {
        if count == 0 {
            break;
        }
        let _ = io::stderr().write_all(&bytes[..count]);
        kept.extend(&bytes[..count]);
        kept.drain(..kept.len().saturating_sub(NUM_KEPT));
    }
    kept
}
