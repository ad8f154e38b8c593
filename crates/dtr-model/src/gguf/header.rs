//! Reads the header of a GGUF file. The header is checked against the length of the file before any values of
//! tensors are read.
//!
//! Like llama.cpp, the reader refuses a file whose tensors do not follow one another in the order of the
//! header. In contrast to llama.cpp, the reader also refuses bytes after the last tensor.

use std::collections::BTreeSet;
use std::io::Read;

use super::byte_reader::{ByteReader, ParseResult};
use super::ggml_type::GgmlType;
use super::metadata::{GgufMetadata, MIN_ENTRY_BYTES, quoted};

/// The first bytes of a GGUF file.
const MAGIC: [u8; 4] = *b"GGUF";

/// The supported versions. Version 1 stores counts in other types, and llama.cpp no longer reads it.
const VERSIONS: [u32; 2] = [2, 3];

/// The most tensors of a file, and the most entries of its metadata.
const MAX_TENSORS: u64 = 1 << 16;
const MAX_ENTRIES: u64 = 1 << 16;

/// The longest name of a tensor in bytes, and the most dimensions of a tensor. Both are limits of `ggml.h`.
const MAX_NAME_BYTES: u64 = 64;
const MAX_DIMENSIONS: u32 = 4;

/// The length of the shortest description of a tensor, in bytes. The terms are the length of the name, a name
/// of one byte, the number of dimensions, one dimension, the type, and the offset.
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// The alignment of values if the metadata do not state it, and the largest supported alignment, in bytes.
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 20;

/// The description of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// The sizes of the dimensions. The last dimension is the length of a row. The values of a row are
    /// adjacent in the file.
    pub shape: Vec<usize>,
    /// The number format.
    pub ggml_type: GgmlType,
    /// The offset of the values from the start of the file, in bytes.
    pub start: u64,
    /// The length of all values, in bytes.
    pub num_bytes: u64,
}

/// The header of a file.
#[derive(Debug)]
pub struct GgufHeader {
    /// The metadata.
    pub metadata: GgufMetadata,
    /// The tensors, in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// The length of the header, in bytes.
    pub num_bytes: u64,
}

impl GgufHeader {
    /// Reads the header of `file`, which has `num_bytes` bytes.
    ///
    /// # Errors
    /// Fails if the header is damaged, contradicts the length of the file, or is not supported.
    pub fn read(file: impl Read, num_bytes: u64) -> ParseResult<Self> {
        let mut reader = ByteReader::new(file, num_bytes);
        if num_bytes < 4 || reader.array()? != MAGIC {
            return Err("does not begin as a GGUF file".to_owned());
        }
        check_version(reader.u32()?)?;
        let num_tensors = reader.count("tensors", MIN_TENSOR_BYTES, MAX_TENSORS)?;
        let num_entries = reader.count("entries of metadata", MIN_ENTRY_BYTES, MAX_ENTRIES)?;
        let metadata = GgufMetadata::read(&mut reader, num_entries)?;
        let alignment = alignment(&metadata)?;
        let mut tensors = Vec::new();
        for _ in 0..num_tensors {
            tensors.push(read_tensor(&mut reader)?);
        }
        place_tensors(&mut tensors, reader.position().next_multiple_of(alignment), alignment, num_bytes)?;
        Ok(Self { metadata, tensors, num_bytes: reader.position() })
    }
}

fn check_version(version: u32) -> ParseResult<()> {
    if VERSIONS.contains(&version) {
        return Ok(());
    }
    match VERSIONS.contains(&version.swap_bytes()) {
        true => Err("is big-endian, which is not supported".to_owned()),
        false => Err(format!("has the version {version}; versions 2 and 3 are supported")),
    }
}

/// Returns the alignment of values, in bytes.
fn alignment(metadata: &GgufMetadata) -> ParseResult<u64> {
    let key = "general.alignment";
    let alignment = metadata.whole_number(key)?.unwrap_or(DEFAULT_ALIGNMENT);
    match alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT {
        true => Ok(alignment),
        false => Err(format!("has {alignment} as `{key}`, which must be a power of 2 up to {MAX_ALIGNMENT}")),
    }
}

/// Reads the description of a tensor. The returned `start` is relative to the values of the first tensor.
fn read_tensor(reader: &mut ByteReader<impl Read>) -> ParseResult<TensorInfo> {
    let name = reader.text(MAX_NAME_BYTES)?;
    let refuse = |problem: String| format!("has the tensor {} {problem}", quoted(&name));
    let num_dimensions = reader.u32()?;
    if !(1..=MAX_DIMENSIONS).contains(&num_dimensions) {
        return Err(refuse(format!("with {num_dimensions} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..num_dimensions {
        let size = reader.u64()?;
        shape.push(usize::try_from(size).map_err(|_| refuse(format!("with a dimension of {size}")))?);
    }
    shape.reverse();
    let ggml_type = GgmlType::from_number(reader.u32()?)
        .map_err(|unsupported| refuse(format!("of the type {unsupported}, which is not supported")))?;
    let num_bytes = num_value_bytes(&shape, ggml_type)
        .ok_or_else(|| refuse(format!("of shape {shape:?}, which does not fit {ggml_type:?}")))?;
    let start = reader.u64()?;
    Ok(TensorInfo { name, shape, ggml_type, start, num_bytes })
}

/// Returns the length of a tensor's values, in bytes. Returns `None` if the tensor has no values, if a row
/// does not consist of whole blocks, or if the length overflows.
fn num_value_bytes(shape: &[usize], ggml_type: GgmlType) -> Option<u64> {
    let num_values = shape.iter().copied().try_fold(1, usize::checked_mul).filter(|count| *count > 0)?;
    // The length of the values in f32 must not overflow either.
    num_values.checked_mul(size_of::<f32>())?;
    let is_whole = shape.last()?.is_multiple_of(ggml_type.block_len());
    let num_blocks = is_whole.then_some(num_values / ggml_type.block_len())?;
    num_blocks.checked_mul(ggml_type.block_bytes()).map(|bytes| bytes as u64)
}

/// Checks that the tensors follow one another from the byte `start` to the end of the file. Changes their
/// offsets, which are relative to `start`, to offsets from the start of the file.
fn place_tensors(tensors: &mut [TensorInfo], start: u64, alignment: u64, num_bytes: u64) -> ParseResult<()> {
    let mut names = BTreeSet::new();
    let (mut next, mut end) = (0_u64, 0_u64);
    for tensor in tensors.iter() {
        let name = quoted(&tensor.name);
        if !names.insert(&tensor.name) {
            return Err(format!("has two tensors {name}"));
        }
        if tensor.start != next {
            return Err(format!("has the tensor {name} at the offset {} instead of {next}", tensor.start));
        }
        end = next.saturating_add(tensor.num_bytes);
        if end > num_bytes {
            return Err(format!("ends before the last value of the tensor {name}"));
        }
        next = end.next_multiple_of(alignment);
    }
    if !(start + end..=start + next).contains(&num_bytes) {
        return Err(format!("has {num_bytes} bytes, and its header describes {}", start + end));
    }
    for tensor in tensors {
        tensor.start += start;
    }
    Ok(())
}
