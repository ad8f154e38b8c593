//! A file of tokens: an unnamed temporary file, which the operating system removes when the process ends.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

use dtr_core::error::{Error, Result};

/// A writer of a [`TokenFile`].
pub(super) struct TokenFileWriter {
    file: BufWriter<File>,
    num_tokens: u64,
}

impl TokenFileWriter {
    pub fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(io_error)?;
        Ok(Self { file: BufWriter::new(file), num_tokens: 0 })
    }

    /// Appends `tokens`. Returns the position of the first appended token in the file.
    pub fn write(&mut self, tokens: &[u32]) -> Result<u64> {
        self.file.write_all(bytemuck::cast_slice(tokens)).map_err(io_error)?;
        let start = self.num_tokens;
        self.num_tokens += tokens.len() as u64;
        Ok(start)
    }

    /// Ends the writing and returns the file.
    pub fn finish(self) -> Result<TokenFile> {
        let file = self.file.into_inner().map_err(|error| io_error(error.into_error()))?;
        Ok(TokenFile(file))
    }
}

/// A file of tokens with random access.
pub(super) struct TokenFile(File);

impl TokenFile {
    /// Fills `tokens` with the tokens of the file from position `start` on.
    pub fn read(&self, start: u64, tokens: &mut [u32]) -> Result<()> {
        self.0
            .read_exact_at(bytemuck::cast_slice_mut(tokens), start * size_of::<u32>() as u64)
            .map_err(io_error)
    }
}

fn io_error(cause: io::Error) -> Error {
    Error::io("store tokens in", &std::env::temp_dir(), cause)
        .hint("set `TMPDIR` to a folder with more space")
}
