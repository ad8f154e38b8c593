//! Tensors where they lie in safetensors files, to be copied into others bit by bit without passing
//! through memory as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;

use crate::header::Header;
use dtr_core::error::{Error, Result};
use dtr_core::files::{write_atomically, write_bytes_atomically};

/// A tensor in a file.
#[derive(Clone)]
pub struct Piece {
    /// Its name where it is going.
    pub name: String,
    info: TensorInfo,
    file: PathBuf,
    start: u64,
}

impl Piece {
    /// The tensors of `file`, in the order of their names.
    pub fn all_of(file: &Path) -> Result<Vec<Self>> {
        let opened = File::open(file).map_err(|cause| Error::io("read", file, cause))?;
        let header = Header::read(&opened, file)?;
        let piece = |(name, info): (String, TensorInfo)| Self {
            name,
            start: header.start + info.data_offsets.0 as u64,
            info,
            file: file.to_owned(),
        };
        Ok(header.tensors.into_iter().map(piece).collect())
    }

    /// The length of its values in bytes.
    fn bytes(&self) -> u64 {
        (self.info.data_offsets.1 - self.info.data_offsets.0) as u64
    }
}

/// Writes `pieces` to `model.safetensors` of `directory`, or to shards of at most `most` bytes of values and
/// their index. A tensor that is longer has a shard of its own.
pub fn write(directory: &Path, pieces: Vec<Piece>, most: u64) -> Result<()> {
    let total: u64 = pieces.iter().map(Piece::bytes).sum();
    let mut shards = shards(pieces, most);
    if let [whole] = shards.as_mut_slice() {
        return write_file(&directory.join("model.safetensors"), whole);
    }
    let count = shards.len();
    let mut places = BTreeMap::new();
    for (at, shard) in shards.iter_mut().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", at + 1);
        write_file(&directory.join(&name), shard)?;
        places.extend(shard.iter().map(|piece| (piece.name.clone(), name.clone())));
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": places });
    let index = serde_json::to_string_pretty(&index).expect("an index is plain JSON") + "\n";
    write_bytes_atomically(&directory.join("model.safetensors.index.json"), index.as_bytes())
}

/// `pieces` in their order, cut where a shard would grow beyond `most` bytes.
fn shards(pieces: Vec<Piece>, most: u64) -> Vec<Vec<Piece>> {
    let mut shards = vec![Vec::new()];
    let mut filled = 0;
    for piece in pieces {
        let bytes = piece.bytes();
        if filled > 0 && filled + bytes > most {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        shards.last_mut().expect("there is always a shard").push(piece);
    }
    shards
}

/// Writes one file, wide dtypes first so that every tensor is aligned.
fn write_file(path: &Path, pieces: &mut [Piece]) -> Result<()> {
    pieces.sort_by(|a, b| b.info.dtype.cmp(&a.info.dtype).then_with(|| a.name.cmp(&b.name)));
    let header = header_of(pieces).map_err(|cause| {
        Error::failed(format!("`{}` cannot be laid out", path.display())).with_source(cause)
    })?;
    write_atomically(path, |file| {
        let mut out = io::BufWriter::new(file);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for piece in pieces.iter() {
            copy(piece, &mut out)?;
        }
        out.flush()
    })
}

/// The header of a file that holds `pieces` in this order.
fn header_of(pieces: &[Piece]) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let mut end = 0;
    let tensors = pieces.iter().map(|piece| {
        let start = end;
        end += piece.bytes() as usize;
        (piece.name.clone(), TensorInfo { data_offsets: (start, end), ..piece.info.clone() })
    });
    // Older readers ask which framework's layout the values have.
    let layout = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let header = Metadata::new(Some(layout), tensors.collect())?;
    let mut text = serde_json::to_vec(&header).expect("a header is plain JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

fn copy(piece: &Piece, out: &mut impl Write) -> io::Result<()> {
    let mut file = File::open(&piece.file)?;
    file.seek(SeekFrom::Start(piece.start))?;
    match io::copy(&mut file.take(piece.bytes()), out)? == piece.bytes() {
        true => Ok(()),
        false => Err(io::Error::other(format!("`{}` became shorter", piece.file.display()))),
    }
}
