//! Writes GGUF files, version 3.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::Dtype;

use crate::directory::TensorSource;
use dtr_core::error::Result;
use dtr_core::files::write_atomically;

/// The alignment of the values of each tensor, in bytes. Readers assume this alignment.
const ALIGNMENT: u64 = 32;

/// A value of a file's metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MetadataValue {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    I32List(Vec<i32>),
    BoolList(Vec<bool>),
    TextList(Vec<String>),
}

impl MetadataValue {
    /// Returns the number of the type, and for a list that of its elements.
    fn types(&self) -> (u32, Option<u32>) {
        const LIST: u32 = 9;
        match self {
            Self::U32(_) => (4, None),
            Self::F32(_) => (6, None),
            Self::Bool(_) => (7, None),
            Self::Text(_) => (8, None),
            Self::I32List(_) => (LIST, Some(5)),
            Self::BoolList(_) => (LIST, Some(7)),
            Self::TextList(_) => (LIST, Some(8)),
        }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let (own, element) = self.types();
        bytes.extend(own.to_le_bytes());
        let list = |len: usize, bytes: &mut Vec<u8>| {
            bytes.extend(element.expect("a list has elements").to_le_bytes());
            bytes.extend((len as u64).to_le_bytes());
        };
        match self {
            Self::U32(number) => bytes.extend(number.to_le_bytes()),
            Self::F32(number) => bytes.extend(number.to_le_bytes()),
            Self::Bool(flag) => bytes.push(u8::from(*flag)),
            Self::Text(text) => encode_text(text, bytes),
            Self::I32List(numbers) => {
                list(numbers.len(), bytes);
                numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
            }
            Self::BoolList(flags) => {
                list(flags.len(), bytes);
                bytes.extend(flags.iter().map(|flag| u8::from(*flag)));
            }
            Self::TextList(texts) => {
                list(texts.len(), bytes);
                texts.iter().for_each(|text| encode_text(text, bytes));
            }
        }
    }
}

fn encode_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Writes a GGUF file to `path`, atomically: the file is complete or does not exist.
///
/// # Errors
/// Fails when a tensor cannot be read, or the file cannot be written.
pub(crate) fn write_gguf_file(
    path: &Path,
    metadata: &[(String, MetadataValue)],
    tensors: &[TensorSource],
) -> Result<()> {
    let mut header = b"GGUF".to_vec();
    header.extend(3_u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        encode_text(key, &mut header);
        value.encode(&mut header);
    }
    let mut start = 0;
    for tensor in tensors {
        describe_tensor(tensor, start, &mut header);
        start += tensor.num_bytes().next_multiple_of(ALIGNMENT);
    }
    write_atomically(path, |file| {
        let mut out = BufWriter::new(file);
        out.write_all(&header)?;
        pad(header.len() as u64, &mut out)?;
        for tensor in tensors {
            tensor.copy_to(&mut out)?;
            pad(tensor.num_bytes(), &mut out)?;
        }
        out.flush()
    })
}

/// Appends the description of a tensor whose values begin at `start`. In the file, the first dimension is the
/// length of a row.
fn describe_tensor(tensor: &TensorSource, start: u64, header: &mut Vec<u8>) {
    encode_text(&tensor.name, header);
    header.extend((tensor.shape().len() as u32).to_le_bytes());
    tensor.shape().iter().rev().for_each(|size| header.extend((*size as u64).to_le_bytes()));
    let ggml_type: u32 = match tensor.dtype() {
        Dtype::F16 => 1,
        Dtype::BF16 => 30,
        _ => 0,
    };
    header.extend(ggml_type.to_le_bytes());
    header.extend(start.to_le_bytes());
}

/// Writes zeros after `num_bytes` bytes, up to the next multiple of the alignment.
fn pad(num_bytes: u64, out: &mut impl Write) -> io::Result<()> {
    let num_zeros = num_bytes.next_multiple_of(ALIGNMENT) - num_bytes;
    out.write_all(&vec![0; num_zeros as usize])
}
