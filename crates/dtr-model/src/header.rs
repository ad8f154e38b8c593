//! The header of a safetensors file: read within bounds, and believed only where it fits the file.
//!
//! Stricter than the format's own library, which takes the last of two tensors of one name: what is said twice, lies
//! twice or nowhere, or is longer than its shape is a damaged file or a forged one. No value is read for it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use dtr_core::error::{Error, Result};

/// The longest header that is believed, in bytes; the format's own bound.
const LONGEST: u64 = 100_000_000;

/// Bytes of the number that a file begins with: the length of its header.
const PREFIX: u64 = 8;

/// The key of what is no tensor.
const NOTES: &str = "__metadata__";

/// What the header of a file says.
#[derive(Debug, Default)]
pub struct Header {
    /// The tensors by name; their offsets count from `start`.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// Texts that travel with them.
    pub notes: HashMap<String, String>,
    /// Where in the file the values begin.
    pub start: u64,
}

impl Header {
    /// Reads the header of `file`, which lies at `path`.
    ///
    /// # Errors
    /// When the file is none of this format, or its header and its length do not go together.
    pub fn read(file: &File, path: &Path) -> Result<Self> {
        let length = file.metadata().map_err(|cause| Error::io("read", path, cause))?.len();
        Self::within(file, length, path)
    }

    /// Reads the header that the `length` bytes of `file`, of the file at `path`, begin with.
    ///
    /// # Errors
    /// As for [`Header::read`].
    pub fn within(mut file: impl Read, length: u64, path: &Path) -> Result<Self> {
        let unread = |cause| Error::io("read", path, cause);
        let refuse = |why: String| {
            Error::environment(format!("`{}` is not a whole safetensors file: {why}", path.display()))
        };
        let mut prefix = [0; PREFIX as usize];
        if length < PREFIX {
            return Err(refuse(format!("it has {length} bytes")));
        }
        file.read_exact(&mut prefix).map_err(unread)?;
        let claimed = u64::from_le_bytes(prefix);
        if claimed > LONGEST.min(length - PREFIX) {
            return Err(refuse(format!("its header claims {claimed} bytes, and the file has {length}")));
        }
        let mut text = vec![0; claimed as usize];
        file.read_exact(&mut text).map_err(unread)?;
        let header = Self::parse(&text, length - PREFIX - claimed).map_err(refuse)?;
        Ok(Self { start: PREFIX + claimed, ..header })
    }

    /// Reads the text of a header that `num_bytes` of values follow; what is wrong with it where it is none.
    pub fn parse(text: &[u8], num_bytes: u64) -> std::result::Result<Self, String> {
        let Entries { tensors, notes } =
            serde_json::from_slice(text).map_err(|cause| format!("its header cannot be read: {cause}"))?;
        let mut in_order: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
        in_order.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in in_order {
            let (start, stop) = info.data_offsets;
            if start != end {
                return Err(format!("`{name}` lies at byte {start}, where {end} is due"));
            }
            if num_bytes_of(info) != stop.checked_sub(start) {
                return Err(format!(
                    "`{name}` lies at the bytes {start} to {stop}, which do not hold {:?} of shape {:?}",
                    info.dtype, info.shape
                ));
            }
            end = stop;
        }
        match end as u64 == num_bytes {
            true => Ok(Self { tensors, notes, start: 0 }),
            false => Err(format!("its header speaks of {end} bytes of values, and {num_bytes} follow")),
        }
    }
}

/// The bytes that a tensor's values take; none where they end within a byte or beyond all memory.
fn num_bytes_of(info: &TensorInfo) -> Option<usize> {
    let elements = info.shape.iter().copied().try_fold(1, usize::checked_mul)?;
    let bits = elements.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// The entries of a header, each name once.
#[derive(Default)]
struct Entries {
    tensors: BTreeMap<String, TensorInfo>,
    notes: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == NOTES {
                entries.notes = map.next_value::<Option<_>>()?.unwrap_or_default();
                continue;
            }
            let info = map.next_value()?;
            if entries.tensors.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            entries.tensors.insert(name, info);
        }
        Ok(entries)
    }
}
