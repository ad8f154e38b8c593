//! Documents of plain text.

use std::fmt;
use std::io::{BufRead, Read};

use super::compressed::Packed;
use crate::manifest::TextUnit;
use dtr_core::error::{Error, Result};

pub(super) fn read(file: &Packed, unit: &TextUnit, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let mut document = String::new();
    let mut first = 1;
    each_line(file, |line, number| {
        let is_border = match unit {
            TextUnit::Paragraph => line.trim().is_empty(),
            TextUnit::Between(border) => line.trim() == border,
            TextUnit::Line | TextUnit::File => false,
        };
        if document.is_empty() {
            first = number;
        }
        if document.len() + line.len() > LONGEST {
            return Err(too_long(&format_args!(
                "the document from line {first} of `{}`",
                file.path.display()
            )));
        }
        if !is_border {
            document.push_str(line);
        }
        if is_border || *unit == TextUnit::Line {
            take(&document)?;
            document.clear();
        }
        Ok(())
    })?;
    take(&document)
}

/// The longest line, document and row of JSON, in bytes: what is longer is damaged, or packed to fill the memory.
pub(super) const LONGEST: usize = 1 << 27;

/// Something at `place` is longer than [`LONGEST`].
pub(super) fn too_long(place: &dyn fmt::Display) -> Error {
    Error::manifest(format!("{place} is longer than {} MiB", LONGEST >> 20))
        .hint("cut it into documents: it would be one, and must fit in memory")
}

/// Hands every line of `file`, with a plain line feed at its end and its number from 1, to `take`.
pub(super) fn each_line(file: &Packed, mut take: impl FnMut(&str, usize) -> Result<()>) -> Result<()> {
    let mut reader = file.open()?;
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let mut rest = reader.by_ref().take(LONGEST as u64 + 1);
        if rest.read_until(b'\n', &mut bytes).map_err(|cause| file.unread(cause))? == 0 {
            break;
        }
        if bytes.len() > LONGEST {
            return Err(too_long(&format_args!("line {number} of `{}`", file.path.display())));
        }
        if bytes.ends_with(b"\r\n") {
            bytes.remove(bytes.len() - 2);
        }
        let line = str::from_utf8(&bytes).map_err(|cause| {
            Error::manifest(format!("line {number} of `{}` is not UTF-8", file.path.display()))
                .with_source(cause)
                .hint("convert the file, for example with `iconv -t UTF-8`")
        })?;
        let line = if number == 1 { line.trim_start_matches('\u{feff}') } else { line };
        take(line, number)?;
    }
    Ok(())
}
