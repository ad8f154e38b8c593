//! A file that may be packed by gzip, xz or zstd, read as what was packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use dtr_core::error::{Error, Result};

/// What a file's name says that it holds, such as `txt`, and how it is packed.
pub(super) fn endings<'a>(path: &'a Path) -> (Option<&'a str>, Option<&'a str>) {
    let ending = |path: &'a Path| path.extension().and_then(|ending| ending.to_str());
    match ending(path) {
        packing @ Some("gz" | "xz" | "zst") => (path.file_stem().map(Path::new).and_then(ending), packing),
        ending => (ending, None),
    }
}

/// A file of a corpus or of a task.
pub(in crate::data) struct Packed<'a> {
    /// The path that the manifest names.
    pub path: &'a Path,
    local: PathBuf,
    packing: Option<&'a str>,
}

impl<'a> Packed<'a> {
    /// The file of `path`, which lies at `local`.
    pub fn new(path: &'a Path, local: PathBuf) -> Self {
        Self { path, local, packing: endings(path).1 }
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
        File::open(&self.local).map_err(|cause| Error::io("read", self.path, cause))
    }

    /// What `cause` says of the file: where it is not the system's, the file is damaged.
    pub fn unread(&self, cause: io::Error) -> Error {
        let is_damaged = self.packing.is_some() && cause.raw_os_error().is_none();
        let error = Error::io("read", self.path, cause);
        if is_damaged { error.hint("the file is damaged or cut off: fetch it again") } else { error }
    }
}
