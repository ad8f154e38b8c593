//! Text files of limited length.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// The maximum size of a text file, in bytes. The largest known tokenizer file is far smaller.
const MAX_TEXT_BYTES: u64 = 1 << 28;

/// Reads a text file of at most 256 MiB.
///
/// # Errors
/// Fails when the file cannot be read, exceeds the limit, or is not UTF-8.
pub fn read_text_file(path: &Path) -> Result<String> {
    read_text_up_to(path, MAX_TEXT_BYTES).map_err(|source| Error::io("read", path, source))
}

/// Reads a text file of at most `max_bytes` bytes. The limit protects against running out of memory.
///
/// # Errors
/// Fails when the file cannot be read, exceeds the limit, or is not UTF-8.
pub fn read_text_up_to(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    if File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)? as u64 > max_bytes {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("the file is longer than {max_bytes} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|cause| {
        let valid = cause.utf8_error().valid_up_to();
        let line = 1 + cause.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        io::Error::new(ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_path() {
        let error = read_text_file(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.message_with_sources().starts_with("cannot read `/nowhere/at/all`: "));
    }
}
