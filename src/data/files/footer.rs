//! The footer of a Parquet file, walked before polars reads it: polars sets memory aside for as many items as a list in
//! it claims, and a file of a thousand bytes can claim a hundred billion.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::thrift::Walk;

/// The longest footer that is read, in bytes: of thousands of columns and groups.
const LONGEST: u64 = 1 << 26;

/// The end of a file: the length of its footer, and this mark.
const MARK: &[u8; 4] = b"PAR1";
const NUM_END_BYTES: u64 = 8;

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
    Ok(Walk::over(&bytes).group().err().map(|why| format!("its footer {why}")))
}
