//! The pages of a column of Parquet, looked at before polars reads them: it sets memory aside for as many values as a page
//! claims, of which it may claim fewer than none, and where there is no such memory the process is gone.

use std::fs::File;
use std::io::{self, Cursor};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use polars_parquet_format::PageHeader;
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;

/// Bytes that a page's header is looked for in: what most take, and what statistics of long texts may.
const HEADER_BYTES: [u64; 2] = [1 << 10, 1 << 24];

/// What is wrong with the pages in `place` of `file`, which has `length` bytes: none may hold more than `most_values`.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn flaw(
    file: &File,
    place: Range<u64>,
    length: u64,
    most_values: i32,
) -> io::Result<Option<String>> {
    let mut at = place.start;
    while at < place.end {
        let Some((page, header)) = page(file, at, length)? else {
            return Ok(Some(format!("the page at byte {at} has no header")));
        };
        let (bytes, values) = (page.compressed_page_size, num_values(&page));
        let next = u64::try_from(bytes).ok().map(|bytes| at + header + bytes);
        match next {
            Some(next) if next <= length && (0..=most_values).contains(&values) => at = next,
            _ => return Ok(Some(format!("the page at byte {at} claims {values} values in {bytes} bytes"))),
        }
    }
    Ok(None)
}

/// The header of the page at a byte of `file`, and how many bytes it has; none where there is no header.
fn page(file: &File, at: u64, length: u64) -> io::Result<Option<(PageHeader, u64)>> {
    for most in HEADER_BYTES {
        let mut bytes = vec![0; length.saturating_sub(at).min(most) as usize];
        file.read_exact_at(&mut bytes, at)?;
        let size = bytes.len();
        let mut reader = Cursor::new(bytes);
        let mut protocol = TCompactInputProtocol::new(&mut reader, size);
        if let Ok(page) = PageHeader::read_from_in_protocol(&mut protocol) {
            return Ok(Some((page, reader.position())));
        }
    }
    Ok(None)
}

/// How many values a page claims; an index has none.
fn num_values(page: &PageHeader) -> i32 {
    let data = page.data_page_header.as_ref().map(|header| header.num_values);
    let newer = page.data_page_header_v2.as_ref().map(|header| header.num_values);
    let dictionary = page.dictionary_page_header.as_ref().map(|header| header.num_values);
    data.or(newer).or(dictionary).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A header of a page of `bytes` with `values`, both as Thrift writes signed numbers below 64; encodings are all the first.
    fn header(bytes: i8, values: i8) -> Vec<u8> {
        let signed = |number: i8| ((number << 1) ^ (number >> 7)) as u8;
        [
            &[0x15, 0, 0x15, 20, 0x15, signed(bytes), 0x2c, 0x15, signed(values)][..],
            &[0x15, 0].repeat(3),
            &[0, 0],
        ]
        .concat()
    }

    fn look(bytes: &[u8], most_values: i32) -> Option<String> {
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
        assert_eq!(beyond.as_deref(), Some("the page at byte 20 claims 11 values in 3 bytes"));
        let negative = look(&[page(-1), page(5)].concat(), 10);
        assert_eq!(negative.as_deref(), Some("the page at byte 0 claims -1 values in 3 bytes"));
    }

    #[test]
    fn a_page_that_is_longer_than_its_place_is_refused() {
        assert!(look(&header(60, 5), 10).unwrap().contains("claims 5 values in 60 bytes"));
        assert!(look(&header(-3, 5), 10).unwrap().contains("in -3 bytes"));
        assert!(look(&header(3, 5)[..6], 10).unwrap().contains("the page at byte 0 has no header"));
    }
}
