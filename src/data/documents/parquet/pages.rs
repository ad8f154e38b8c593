//! A check of the page headers of a Parquet column against the file's size.
//!
//! Polars allocates memory for as many values as a page header claims. The claim can be negative, and an
//! allocation that fails aborts the process.

use std::fs::File;
use std::io::{self, Cursor};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use polars_parquet_format::PageHeader;
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;

/// The numbers of bytes that are read to parse a page header. The first number suffices for most headers. The
/// second suffices for headers with statistics of long strings.
const HEADER_BYTES: [u64; 2] = [1 << 10, 1 << 24];

/// Returns a description of the first defect of the pages in a byte range of `file`. The file has `file_size`
/// bytes, and a page may hold at most `max_values` values.
///
/// # Errors
/// Fails if the file cannot be read.
pub(super) fn find_defect(
    file: &File,
    range: Range<u64>,
    file_size: u64,
    max_values: i32,
) -> io::Result<Option<String>> {
    let mut position = range.start;
    while position < range.end {
        let Some((page, header_bytes)) = read_header(file, position, file_size)? else {
            return Ok(Some(format!("the page at byte {position} has no header")));
        };
        let (page_bytes, num_values) = (page.compressed_page_size, num_values(&page));
        let next = u64::try_from(page_bytes).ok().map(|page_bytes| position + header_bytes + page_bytes);
        match next {
            Some(next) if next <= file_size && (0..=max_values).contains(&num_values) => position = next,
            _ => {
                return Ok(Some(format!(
                    "the page at byte {position} claims {num_values} values in {page_bytes} bytes"
                )));
            }
        }
    }
    Ok(None)
}

/// Reads the page header at `position` of `file`. Returns the header and its size in bytes, or `None` if
/// there is no header at `position`.
fn read_header(file: &File, position: u64, file_size: u64) -> io::Result<Option<(PageHeader, u64)>> {
    for max_bytes in HEADER_BYTES {
        let mut bytes = vec![0; file_size.saturating_sub(position).min(max_bytes) as usize];
        file.read_exact_at(&mut bytes, position)?;
        let num_bytes = bytes.len();
        let mut reader = Cursor::new(bytes);
        let mut protocol = TCompactInputProtocol::new(&mut reader, num_bytes);
        if let Ok(page) = PageHeader::read_from_in_protocol(&mut protocol) {
            return Ok(Some((page, reader.position())));
        }
    }
    Ok(None)
}

/// Returns the number of values that a page claims to hold. The number is 0 for an index page.
fn num_values(page: &PageHeader) -> i32 {
    let data = page.data_page_header.as_ref().map(|header| header.num_values);
    let data_v2 = page.data_page_header_v2.as_ref().map(|header| header.num_values);
    let dictionary = page.dictionary_page_header.as_ref().map(|header| header.num_values);
    data.or(data_v2).or(dictionary).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Returns a page header that claims `num_bytes` and `num_values`. Both numbers must be from -64 to 63,
    /// because Thrift writes such numbers as one byte.
    fn header(num_bytes: i8, num_values: i8) -> Vec<u8> {
        let zigzag = |number: i8| ((number << 1) ^ (number >> 7)) as u8;
        [
            &[0x15, 0, 0x15, 20, 0x15, zigzag(num_bytes), 0x2c, 0x15, zigzag(num_values)][..],
            &[0x15, 0].repeat(3),
            &[0, 0],
        ]
        .concat()
    }

    fn defect(bytes: &[u8], max_values: i32) -> Option<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let file_size = bytes.len() as u64;
        find_defect(&file, 0..file_size, file_size, max_values).unwrap()
    }

    #[test]
    fn a_page_with_an_impossible_number_of_values_is_refused() {
        let page = |num_values| [header(3, num_values), vec![7; 3]].concat();
        assert_eq!(defect(&[page(5), page(10)].concat(), 10), None);
        let too_many = defect(&[page(5), page(11)].concat(), 10);
        assert_eq!(too_many.as_deref(), Some("the page at byte 20 claims 11 values in 3 bytes"));
        let negative = defect(&[page(-1), page(5)].concat(), 10);
        assert_eq!(negative.as_deref(), Some("the page at byte 0 claims -1 values in 3 bytes"));
    }

    #[test]
    fn a_page_that_exceeds_the_file_is_refused() {
        assert!(defect(&header(60, 5), 10).unwrap().contains("claims 5 values in 60 bytes"));
        assert!(defect(&header(-3, 5), 10).unwrap().contains("in -3 bytes"));
        assert!(defect(&header(3, 5)[..6], 10).unwrap().contains("the page at byte 0 has no header"));
    }
}
