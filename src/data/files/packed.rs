//! A file that may be packed by gzip, xz or zstd, read as what was packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::error::{Error, Result};

/// A file by its path; the last ending says how it is packed, and the one before it what it holds.
pub(super) struct Packed<'a> {
    pub path: &'a Path,
    packing: Option<&'a str>,
    ending: Option<&'a str>,
}

impl<'a> Packed<'a> {
    pub fn new(path: &'a Path) -> Self {
        let ending = |path: &'a Path| path.extension().and_then(|ending| ending.to_str());
        match ending(path) {
            packing @ Some("gz" | "xz" | "zst") => {
                let inner = path.file_stem().map(Path::new);
                Self { path, packing, ending: inner.and_then(ending) }
            }
            ending => Self { path, packing: None, ending },
        }
    }

    /// What the file holds: `txt`, `jsonl` and so on.
    pub fn ending(&self) -> Option<&'a str> {
        self.ending
    }

    /// Opens the file; what is read is unpacked.
    pub fn open(&self) -> Result<Box<dyn BufRead>> {
        let file = BufReader::with_capacity(1 << 16, self.file()?);
        Ok(match self.packing {
            Some("gz") => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            Some("xz") => Box::new(BufReader::new(XzReader::new(file, true))),
            Some("zst") => {
                let decoder = zstd::Decoder::with_buffer(file).map_err(|cause| self.unread(cause))?;
                Box::new(BufReader::new(decoder))
            }
            _ => Box::new(file),
        })
    }

    /// The file itself, or what is in it unpacked on disk, for formats that are not read from start to end.
    pub fn seekable(&self) -> Result<File> {
        if self.packing.is_none() {
            return self.file();
        }
        let unpack = |mut packed: Box<dyn Read>| -> io::Result<File> {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut packed, &mut file)?;
            file.rewind()?;
            Ok(file)
        };
        unpack(Box::new(self.open()?)).map_err(|cause| self.unread(cause))
    }

    fn file(&self) -> Result<File> {
        File::open(self.path).map_err(|cause| Error::io("read", self.path, cause))
    }

    /// What `cause` says of the file: where it is not the system's, the file is damaged.
    pub fn unread(&self, cause: io::Error) -> Error {
        let is_damaged = self.packing.is_some() && cause.raw_os_error().is_none();
        let error = Error::io("read", self.path, cause);
        if is_damaged { error.hint("the file is damaged or cut off: fetch it again") } else { error }
    }
}
