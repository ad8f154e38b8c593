//! The footer of a Parquet file, walked before polars reads it: polars sets memory aside for as many items as a list in
//! it claims, and a file of a thousand bytes can claim a hundred billion.
//!
//! It is a struct of Thrift's compact protocol, of which only the lengths matter here.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The longest footer that is read, in bytes: of thousands of columns and groups.
const LONGEST: u64 = 1 << 26;

/// The end of a file: the length of its footer, and this mark.
const MARK: &[u8; 4] = b"PAR1";
const NUM_END_BYTES: u64 = 8;

/// The most levels of structs and lists, several times those of the format.
const MOST_LEVELS: usize = 32;

/// The fewest bytes of a struct in a list: none in the footer is empty, and the least of them holds an empty one.
const FEWEST_OF_STRUCT: u64 = 3;

/// What is wrong with the footer of `file`, which has `length` bytes; none where it is sound, and where it is not one
/// at all, which polars says.
///
/// # Errors
/// When the file cannot be read.
pub fn flaw(file: &File, length: u64) -> io::Result<Option<String>> {
    let mut end = [0; NUM_END_BYTES as usize];
    let Some(place) = length.checked_sub(NUM_END_BYTES) else { return Ok(None) };
    file.read_exact_at(&mut end, place)?;
    let [a, b, c, d, mark @ ..] = end;
    let claimed = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(start) = place.checked_sub(claimed).filter(|_| mark == *MARK) else { return Ok(None) };
    if claimed > LONGEST {
        return Ok(Some(format!("its footer has {claimed} bytes, and at most {LONGEST} are read")));
    }
    let mut bytes = vec![0; claimed as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(Walk(&bytes).group(0).err().map(|why| format!("its footer {why}")))
}

/// What is left of a footer.
struct Walk<'a>(&'a [u8]);

/// What is wrong, after `its footer`.
type Step<T> = Result<T, String>;

impl Walk<'_> {
    fn byte(&mut self) -> Step<u8> {
        let (first, rest) = self.0.split_first().ok_or("ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: u64) -> Step<()> {
        let rest = usize::try_from(count).ok().and_then(|count| self.0.get(count..));
        self.0 = rest.ok_or_else(|| format!("claims {count} bytes, and has {}", self.0.len()))?;
        Ok(())
    }

    /// A number of seven bits a byte.
    fn number(&mut self) -> Step<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("has a number of too many bytes".to_owned())
    }

    /// A struct: fields until one that says that it is none.
    fn group(&mut self, level: usize) -> Step<()> {
        loop {
            let header = self.byte()?;
            let kind = header & 0xf;
            if kind == 0 {
                return Ok(());
            }
            if header >> 4 == 0 {
                self.number()?;
            }
            // The kind of a truth is its value, where it is a field.
            if !matches!(kind, 1 | 2) {
                self.value(kind, level + 1)?;
            }
        }
    }

    fn value(&mut self, kind: u8, level: usize) -> Step<()> {
        if level > MOST_LEVELS {
            return Err(format!("is nested more than {MOST_LEVELS} times"));
        }
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            9 | 10 => self.list(level),
            11 => self.map(level),
            12 => self.group(level),
            13 => self.skip(16),
            other => Err(format!("has a value of kind {other}")),
        }
    }

    fn list(&mut self, level: usize) -> Step<()> {
        let header = self.byte()?;
        let (kind, few) = (header & 0xf, u64::from(header >> 4));
        let count = if few == 15 { self.number()? } else { few };
        let least = if kind == 12 { FEWEST_OF_STRUCT } else { 1 };
        self.ensure_room(count, least)?;
        (0..count).try_for_each(|_| self.value(kind, level + 1))
    }

    fn map(&mut self, level: usize) -> Step<()> {
        let count = self.number()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        self.ensure_room(count, 2)?;
        (0..count).try_for_each(|_| {
            self.value(kinds >> 4, level + 1)?;
            self.value(kinds & 0xf, level + 1)
        })
    }

    /// Refuses a claim of more items than there are bytes for.
    fn ensure_room(&self, count: u64, least: u64) -> Step<()> {
        match count.saturating_mul(least) <= self.0.len() as u64 {
            true => Ok(()),
            false => Err(format!("claims {count} items in {} bytes", self.0.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Step<()> {
        Walk(bytes).group(0)
    }

    #[test]
    fn a_struct_is_walked_to_its_end() {
        // A number, a text, a truth, a list of numbers, a list of structs of two numbers, a map, and the end.
        let mut bytes = vec![0x15, 0x02, 0x18, 2, b'a', b'b', 0x11, 0x19, 0x25, 2, 4];
        bytes.extend([0x19, 0x1c, 0x15, 2, 0x15, 2, 0]);
        bytes.extend([0x1b, 1, 0x88, 1, b'k', 1, b'v', 0]);
        assert_eq!(walk(&bytes), Ok(()));
        for length in 0..bytes.len() {
            assert!(walk(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_claims_more_than_there_is_room_for_is_refused() {
        let claim = |bytes: &[u8]| walk(bytes).unwrap_err();
        assert_eq!(claim(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f, 0]), "claims 268435455 items in 1 bytes");
        assert_eq!(claim(&[0x18, 0xff, 0x7f, 0]), "claims 16383 bytes, and has 1");
        assert_eq!(claim(&[0x1b, 0xff, 0x7f, 0x88, 0]), "claims 16383 items in 1 bytes");
        assert_eq!(claim(&[0x1c; 64]), "is nested more than 32 times");
        assert!(
            claim(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])
                .starts_with("has a number")
        );
    }
}
