//! A check that no length in the footer of a Parquet file exceeds the size of the footer.
//!
//! Polars allocates memory for as many elements as a list in the footer claims to have. A file of a thousand
//! bytes can claim a hundred billion elements. The footer is a struct in Thrift's compact protocol. This
//! module walks through the footer, and checks every claimed length against the remaining bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The maximum size of a footer, in bytes. It suffices for thousands of columns and row groups.
const MAX_FOOTER_BYTES: u64 = 1 << 26;

/// The last bytes of a Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";

/// The number of bytes after the footer: four for the footer's length, and four for [`MAGIC`].
const TRAILER_BYTES: u64 = 8;

/// The maximum depth of nested structs and lists. A valid footer is far less deep.
const MAX_DEPTH: usize = 32;

/// The minimum size of a struct in a list of the footer, in bytes. The smallest of these structs,
/// `ColumnOrder`, has a single field, whose value is an empty struct.
const MIN_STRUCT_BYTES: u64 = 3;

/// Returns a description of the first defect in the footer of `file`, which has `file_size` bytes.
///
/// Returns `None` if the footer is valid. Also returns `None` if there is no footer, because polars reports a
/// missing footer itself.
///
/// # Errors
/// Fails if the file cannot be read.
pub(super) fn find_defect(file: &File, file_size: u64) -> io::Result<Option<String>> {
    let mut trailer = [0; TRAILER_BYTES as usize];
    let Some(footer_end) = file_size.checked_sub(TRAILER_BYTES) else { return Ok(None) };
    file.read_exact_at(&mut trailer, footer_end)?;
    let [a, b, c, d, magic @ ..] = trailer;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(start) = footer_end.checked_sub(length).filter(|_| magic == *MAGIC) else { return Ok(None) };
    if length > MAX_FOOTER_BYTES {
        return Ok(Some(format!(
            "its footer claims {length} bytes, more than the supported {MAX_FOOTER_BYTES}"
        )));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(FooterWalker(&bytes).skip_struct(0).err().map(|defect| format!("its footer {defect}")))
}

/// A walk through a footer. The field holds the bytes that are not read yet.
struct FooterWalker<'a>(&'a [u8]);

/// The result of a step of the walk. An error is the end of a sentence that begins with `its footer`.
type WalkResult<T> = Result<T, String>;

impl FooterWalker<'_> {
    fn read_byte(&mut self) -> WalkResult<u8> {
        let (first, rest) = self.0.split_first().ok_or("ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    fn skip_bytes(&mut self, count: u64) -> WalkResult<()> {
        let rest = usize::try_from(count).ok().and_then(|count| self.0.get(count..));
        self.0 = rest.ok_or_else(|| format!("claims {count} bytes, but has {}", self.0.len()))?;
        Ok(())
    }

    /// Reads a variable-length integer. Each byte holds seven bits of the integer.
    fn read_varint(&mut self) -> WalkResult<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read_byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("has an integer of too many bytes".to_owned())
    }

    /// Skips a struct: its fields and the stop byte after them.
    fn skip_struct(&mut self, depth: usize) -> WalkResult<()> {
        loop {
            let header = self.read_byte()?;
            let kind = header & 0xf;
            if kind == 0 {
                return Ok(());
            }
            if header >> 4 == 0 {
                self.read_varint()?;
            }
            // A boolean field has no bytes to skip, because its type encodes its value.
            if !matches!(kind, 1 | 2) {
                self.skip_value(kind, depth + 1)?;
            }
        }
    }

    /// Skips a value of the Thrift type `kind`.
    fn skip_value(&mut self, kind: u8, depth: usize) -> WalkResult<()> {
        if depth > MAX_DEPTH {
            return Err(format!("is nested more than {MAX_DEPTH} times"));
        }
        match kind {
            1..=3 => self.skip_bytes(1),
            4..=6 => self.read_varint().map(drop),
            7 => self.skip_bytes(8),
            8 => {
                let length = self.read_varint()?;
                self.skip_bytes(length)
            }
            9 | 10 => self.skip_list(depth),
            11 => self.skip_map(depth),
            12 => self.skip_struct(depth),
            13 => self.skip_bytes(16),
            unknown => Err(format!("has a value of the unknown type {unknown}")),
        }
    }

    fn skip_list(&mut self, depth: usize) -> WalkResult<()> {
        let header = self.read_byte()?;
        let (kind, short_count) = (header & 0xf, u64::from(header >> 4));
        let count = if short_count == 15 { self.read_varint()? } else { short_count };
        let min_bytes = if kind == 12 { MIN_STRUCT_BYTES } else { 1 };
        self.check_count(count, min_bytes)?;
        (0..count).try_for_each(|_| self.skip_value(kind, depth + 1))
    }

    fn skip_map(&mut self, depth: usize) -> WalkResult<()> {
        let count = self.read_varint()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.read_byte()?;
        self.check_count(count, 2)?;
        (0..count).try_for_each(|_| {
            self.skip_value(kinds >> 4, depth + 1)?;
            self.skip_value(kinds & 0xf, depth + 1)
        })
    }

    /// Fails if `count` elements of at least `min_bytes` each would exceed the remaining bytes.
    fn check_count(&self, count: u64, min_bytes: u64) -> WalkResult<()> {
        match count.saturating_mul(min_bytes) <= self.0.len() as u64 {
            true => Ok(()),
            false => Err(format!("claims {count} items in {} bytes", self.0.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> WalkResult<()> {
        FooterWalker(bytes).skip_struct(0)
    }

    #[test]
    fn a_struct_is_walked_to_its_end() {
        // An integer, a string, a boolean, a list of integers, a list of structs of two integers, a map, and
        // the stop byte.
        let mut bytes = vec![0x15, 0x02, 0x18, 2, b'a', b'b', 0x11, 0x19, 0x25, 2, 4];
        bytes.extend([0x19, 0x1c, 0x15, 2, 0x15, 2, 0]);
        bytes.extend([0x1b, 1, 0x88, 1, b'k', 1, b'v', 0]);
        assert_eq!(walk(&bytes), Ok(()));
        for length in 0..bytes.len() {
            assert!(walk(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn claims_that_exceed_the_remaining_bytes_are_refused() {
        let defect = |bytes: &[u8]| walk(bytes).unwrap_err();
        assert_eq!(defect(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f, 0]), "claims 268435455 items in 1 bytes");
        assert_eq!(defect(&[0x18, 0xff, 0x7f, 0]), "claims 16383 bytes, but has 1");
        assert_eq!(defect(&[0x1b, 0xff, 0x7f, 0x88, 0]), "claims 16383 items in 1 bytes");
        assert_eq!(defect(&[0x1c; 64]), "is nested more than 32 times");
        assert!(
            defect(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])
                .starts_with("has an integer")
        );
    }
}
