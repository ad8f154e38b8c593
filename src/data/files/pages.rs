//! The pages of a column of Parquet, looked at before polars reads them: it sets memory aside for as many values as a page
//! claims, of which it may claim fewer than none, and where there is no such memory the process is gone.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::thrift::{STRUCT, Step, Walk};

/// Bytes that a page's header is looked for in: what most take, and what statistics of long texts may.
const HEADER_BYTES: [u64; 2] = [1 << 10, 1 << 24];

/// Fields of a page's header: bytes of the page as it lies, and those of its kinds.
const COMPRESSED: i64 = 3;
const KINDS: [i64; 3] = [5, 7, 8];

/// The field in which each kind has how many values it holds.
const VALUES: i64 = 1;

/// A page as its header has it.
#[derive(Default)]
struct Page {
    bytes: i64,
    values: i64,
}

/// What is wrong with the pages in `place` of `file`, which has `length` bytes: none may hold more than `most_values`.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn flaw(
    file: &File,
    place: Range<u64>,
    length: u64,
    most_values: usize,
) -> io::Result<Option<String>> {
    let mut at = place.start;
    while at < place.end {
        let mut found = Err(String::new());
        for most in HEADER_BYTES {
            let mut bytes = vec![0; (length - at).min(most) as usize];
            file.read_exact_at(&mut bytes, at)?;
            found = page(&bytes);
            if found.is_ok() || bytes.len() as u64 == length - at {
                break;
            }
        }
        let (page, header) = match found {
            Ok(found) => found,
            Err(why) => return Ok(Some(format!("the header of the page at byte {at} {why}"))),
        };
        let next =
            u64::try_from(page.bytes).ok().and_then(|bytes| at.checked_add(header)?.checked_add(bytes));
        match next {
            Some(next) if next <= length && (0..=most_values as i64).contains(&page.values) => at = next,
            _ => {
                let Page { bytes, values } = page;
                return Ok(Some(format!("the page at byte {at} claims {values} values in {bytes} bytes")));
            }
        }
    }
    Ok(None)
}

/// The page whose header `bytes` begin with, and how many bytes that has.
fn page(bytes: &[u8]) -> Step<(Page, u64)> {
    let (mut page, mut walk) = (Page::default(), Walk::over(bytes));
    walk.taking(&mut |walk, field, kind| match (field, kind) {
        (COMPRESSED, 4..=6) => {
            page.bytes = walk.signed()?;
            Ok(true)
        }
        (field, STRUCT) if KINDS.contains(&field) => {
            walk.taking(&mut |walk, field, kind| {
                let is_values = field == VALUES && matches!(kind, 4..=6);
                if is_values {
                    page.values = walk.signed()?;
                }
                Ok(is_values)
            })?;
            Ok(true)
        }
        _ => Ok(false),
    })?;
    Ok((page, (bytes.len() - walk.left()) as u64))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A header of a page of `bytes` with `values`, both as Thrift writes signed numbers below 64.
    fn header(bytes: i8, values: i8) -> Vec<u8> {
        let signed = |number: i8| ((number << 1) ^ (number >> 7)) as u8;
        vec![0x15, 0, 0x15, 20, 0x15, signed(bytes), 0x2c, 0x15, signed(values), 0x15, 0, 0, 0]
    }

    fn look(bytes: &[u8], most_values: usize) -> Option<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let length = bytes.len() as u64;
        flaw(&file, 0..length, length, most_values).unwrap()
    }

    #[test]
    fn pages_are_looked_at_one_after_the_other() {
        let page = |values| [header(3, values), vec![7; 3]].concat();
        assert_eq!(look(&[page(5), page(10)].concat(), 10), None);
        let beyond = look(&[page(5), page(11)].concat(), 10);
        assert_eq!(beyond.as_deref(), Some("the page at byte 16 claims 11 values in 3 bytes"));
        let negative = look(&[page(-1), page(5)].concat(), 10);
        assert_eq!(negative.as_deref(), Some("the page at byte 0 claims -1 values in 3 bytes"));
    }

    #[test]
    fn a_page_that_is_longer_than_its_place_is_refused() {
        assert!(look(&header(60, 5), 10).unwrap().contains("claims 5 values in 60 bytes"));
        assert!(look(&header(-3, 5), 10).unwrap().contains("in -3 bytes"));
        assert!(
            look(&header(3, 5)[..6], 10).unwrap().contains("the header of the page at byte 0 ends too early")
        );
    }
}
