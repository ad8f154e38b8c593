//! A reader of files that may be compressed with gzip, bzip2, xz or zstd.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use dtr_core::error::{Error, Result};

/// Returns a file name's format extension, such as `txt`, and its compression extension, such as `gz`.
pub(super) fn extensions<'a>(path: &'a Path) -> (Option<&'a str>, Option<&'a str>) {
    let extension = |path: &'a Path| path.extension().and_then(|extension| extension.to_str());
    match extension(path) {
        compression @ Some("gz" | "bz2" | "xz" | "zst") => {
            (path.file_stem().map(Path::new).and_then(extension), compression)
        }
        format => (format, None),
    }
}

/// A file of a corpus or of a task. The extension of the file's name tells how the content is compressed.
pub(in crate::data) struct MaybeCompressedFile<'a> {
    /// The path in the manifest.
    pub path: &'a Path,
    local_path: PathBuf,
    compression: Option<&'a str>,
}

impl<'a> MaybeCompressedFile<'a> {
    /// Describes the file that the manifest calls `path` and that is stored at `local_path`.
    pub fn new(path: &'a Path, local_path: PathBuf) -> Self {
        Self { path, local_path, compression: extensions(path).1 }
    }

    /// Opens a reader of the uncompressed content.
    pub fn open(&self) -> Result<Box<dyn BufRead>> {
        let file = BufReader::with_capacity(1 << 16, self.open_raw()?);
        Ok(match self.compression {
            Some("gz") => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            Some("bz2") => Box::new(BufReader::new(MultiBzDecoder::new(file))),
            Some("xz") => Box::new(BufReader::new(XzReader::new(file, true))),
            Some("zst") => {
                let decoder = zstd::Decoder::with_buffer(file).map_err(|cause| self.read_error(cause))?;
                Box::new(BufReader::new(decoder))
            }
            _ => Box::new(file),
        })
    }

    /// Opens the uncompressed content as a seekable file. A compressed file is first decompressed to a
    /// temporary file.
    pub fn open_seekable(&self) -> Result<File> {
        if self.compression.is_none() {
            return self.open_raw();
        }
        let decompress = |mut content: Box<dyn Read>| -> io::Result<File> {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut content, &mut file)?;
            file.rewind()?;
            Ok(file)
        };
        decompress(Box::new(self.open()?)).map_err(|cause| self.read_error(cause))
    }

    fn open_raw(&self) -> Result<File> {
        File::open(&self.local_path).map_err(|cause| Error::io("read", self.path, cause))
    }

    /// Returns the error for a failed read. If the decoder raised the error, and not the operating system,
    /// the file is damaged.
    pub fn read_error(&self, cause: io::Error) -> Error {
        let is_damaged = self.compression.is_some() && cause.raw_os_error().is_none();
        let error = Error::io("read", self.path, cause);
        if is_damaged { error.hint("fetch the file again: it is damaged or cut off") } else { error }
    }
}
