//! The header of a safetensors file, checked against the length of the file before any value is read.
//!
//! This parser refuses repeated names, gaps, overlaps, and lengths that do not match a tensor's shape. It is
//! stricter than the `safetensors` crate, which accepts a repeated name and keeps its last tensor.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use dtr_core::error::{Error, Result};

/// The longest header that is read, in bytes. The `safetensors` crate has the same limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The size in bytes of the header's length, a `u64` at the start of the file.
const PREFIX_BYTES: u64 = 8;

/// The key of the metadata in a header. The metadata is a table of texts.
const METADATA_KEY: &str = "__metadata__";

/// The header of a safetensors file.
#[derive(Debug, Default)]
pub struct SafetensorsHeader {
    /// The tensors by name. Their offsets are relative to `start`.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The texts under `__metadata__`.
    pub metadata: HashMap<String, String>,
    /// The offset in the file at which the values begin, in bytes.
    pub start: u64,
}

impl SafetensorsHeader {
    /// Reads the header of `file`, which was opened at `path`.
    ///
    /// # Errors
    /// Fails when the file is not a safetensors file, or its header and its length do not match.
    pub fn read(file: &File, path: &Path) -> Result<Self> {
        let num_bytes = file.metadata().map_err(|cause| Error::io("read", path, cause))?.len();
        Self::read_from(file, num_bytes, path)
    }

    /// Reads the header from `file`, a reader of a safetensors file of `num_bytes` bytes. Errors name `path`.
    ///
    /// # Errors
    /// Fails when [`SafetensorsHeader::read`] does.
    pub fn read_from(mut file: impl Read, num_bytes: u64, path: &Path) -> Result<Self> {
        let io_error = |cause| Error::io("read", path, cause);
        let refuse = |problem: String| {
            Error::environment(format!("cannot read `{}` as safetensors: {problem}", path.display()))
        };
        let mut prefix = [0; PREFIX_BYTES as usize];
        if num_bytes < PREFIX_BYTES {
            return Err(refuse(format!("it has only {num_bytes} bytes")));
        }
        file.read_exact(&mut prefix).map_err(io_error)?;
        let header_bytes = u64::from_le_bytes(prefix);
        if header_bytes > MAX_HEADER_BYTES.min(num_bytes - PREFIX_BYTES) {
            return Err(refuse(format!("its header claims {header_bytes} bytes in a file of {num_bytes}")));
        }
        let mut text = vec![0; header_bytes as usize];
        file.read_exact(&mut text).map_err(io_error)?;
        let header = Self::parse(&text, num_bytes - PREFIX_BYTES - header_bytes).map_err(refuse)?;
        Ok(Self { start: PREFIX_BYTES + header_bytes, ..header })
    }

    /// Parses the JSON `text` of a header that is followed by `num_bytes` bytes of values.
    ///
    /// # Errors
    /// Fails with a description of the first problem.
    pub fn parse(text: &[u8], num_bytes: u64) -> std::result::Result<Self, String> {
        let Entries { tensors, metadata } =
            serde_json::from_slice(text).map_err(|cause| format!("its header cannot be read: {cause}"))?;
        let mut by_offset: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
        by_offset.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in by_offset {
            let (start, stop) = info.data_offsets;
            if start != end {
                return Err(format!("`{name}` starts at byte {start} instead of {end}"));
            }
            if num_value_bytes(info) != stop.checked_sub(start) {
                return Err(format!(
                    "`{name}` has the bytes {start} to {stop}, which do not fit {:?} of shape {:?}",
                    info.dtype, info.shape
                ));
            }
            end = stop;
        }
        match end as u64 == num_bytes {
            true => Ok(Self { tensors, metadata, start: 0 }),
            false => Err(format!("its header describes {end} bytes of values instead of {num_bytes}")),
        }
    }
}

/// Returns the size of a tensor's values in bytes, or `None` if the size is not a whole number or overflows.
fn num_value_bytes(info: &TensorInfo) -> Option<usize> {
    let elements = info.shape.iter().copied().try_fold(1, usize::checked_mul)?;
    let bits = elements.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// The entries of a header. Deserializing fails if a tensor's name is repeated.
#[derive(Default)]
struct Entries {
    tensors: BTreeMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA_KEY {
                entries.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
                continue;
            }
            let info = map.next_value()?;
            if entries.tensors.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` is defined twice")));
            }
            entries.tensors.insert(name, info);
        }
        Ok(entries)
    }
}
