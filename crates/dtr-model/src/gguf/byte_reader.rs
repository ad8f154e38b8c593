//! Reads the numbers and texts of a GGUF header. Never reads past the end of the file or past a maximum
//! length.

use std::io::Read;

/// The longest supported header, in bytes. The largest known vocabulary needs a tenth of this limit.
const MAX_HEADER_BYTES: u64 = 1 << 27;

/// The result of reading a part of a file. An error is a verb phrase whose subject is the file, such as
/// "lacks `llama.block_count`".
pub(super) type ParseResult<T> = Result<T, String>;

/// A reader of the start of a file.
pub(super) struct ByteReader<R> {
    inner: R,
    position: u64,
    /// The length of the file, or [`MAX_HEADER_BYTES`] if that limit is lower, in bytes.
    end: u64,
}

impl<R: Read> ByteReader<R> {
    /// Reads from `inner`, a file of `num_bytes` bytes.
    pub fn new(inner: R, num_bytes: u64) -> Self {
        Self { inner, position: 0, end: num_bytes.min(MAX_HEADER_BYTES) }
    }

    /// Returns the offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the number of bytes that may still be read.
    pub fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// Reads the next bytes into `bytes`.
    fn fill(&mut self, bytes: &mut [u8]) -> ParseResult<()> {
        if bytes.len() as u64 > self.remaining() {
            return Err(format!("ends within its header, at byte {}", self.end));
        }
        self.inner.read_exact(bytes).map_err(|cause| format!("cannot be read: {cause}"))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self) -> ParseResult<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a `u32`.
    pub fn u32(&mut self) -> ParseResult<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a `u64`.
    pub fn u64(&mut self) -> ParseResult<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads the number of items that follow. `item` names the items in errors. An item takes at least
    /// `min_bytes` bytes.
    ///
    /// # Errors
    /// Fails if the number is larger than `max`, or if the rest of the file is too short for the items.
    pub fn count(&mut self, item: &str, min_bytes: u64, max: u64) -> ParseResult<usize> {
        let count = self.u64()?;
        match count <= max.min(self.remaining() / min_bytes) {
            true => Ok(count as usize),
            false => Err(format!("claims {count} {item}, more than it can hold")),
        }
    }

    /// Reads the length of a text, at most `max_bytes` bytes, and then the text.
    pub fn text(&mut self, max_bytes: u64) -> ParseResult<String> {
        let position = self.position;
        let len = self.count("bytes of a text", 1, max_bytes)?;
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| format!("holds a text at byte {position} that is not UTF-8"))
    }
}
