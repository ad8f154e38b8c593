//! Tokens of documents on disk, in a file without a name that goes with the process.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

use dtr_core::error::{Error, Result};

/// Tokens being written.
pub(super) struct Spool {
    file: BufWriter<File>,
    num_tokens: u64,
}

impl Spool {
    pub fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(failure)?;
        Ok(Self { file: BufWriter::new(file), num_tokens: 0 })
    }

    /// Writes `tokens`, and returns how many were written before.
    pub fn write(&mut self, tokens: &[u32]) -> Result<u64> {
        self.file.write_all(bytemuck::cast_slice(tokens)).map_err(failure)?;
        let start = self.num_tokens;
        self.num_tokens += tokens.len() as u64;
        Ok(start)
    }

    /// The tokens, to be read from any place.
    pub fn finish(self) -> Result<Spooled> {
        let file = self.file.into_inner().map_err(|error| failure(error.into_error()))?;
        Ok(Spooled(file))
    }
}

/// Tokens that were written.
pub(super) struct Spooled(File);

impl Spooled {
    /// Fills `tokens` with what stands from the token at `start` on.
    pub fn read(&self, start: u64, tokens: &mut [u32]) -> Result<()> {
        self.0
            .read_exact_at(bytemuck::cast_slice_mut(tokens), start * size_of::<u32>() as u64)
            .map_err(failure)
    }
}

fn failure(cause: io::Error) -> Error {
    Error::io("keep tokens in", &std::env::temp_dir(), cause)
        .hint("choose a folder with more space: `TMPDIR` names it")
}
