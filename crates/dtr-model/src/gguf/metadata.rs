//! Reads the metadata of a GGUF file. The metadata are a table of values by key.

use std::collections::BTreeMap;
use std::io::Read;

use super::byte_reader::{ByteReader, ParseResult};

/// The longest key that the format allows, in bytes.
const MAX_KEY_BYTES: u64 = (1 << 16) - 1;

/// The most values in an array. The largest known vocabulary is a sixteenth of this limit.
const MAX_ARRAY_LEN: u64 = 1 << 22;

/// The length of the shortest entry, in bytes. The terms are the length of the key, a key of one byte, the
/// type, and a value of one byte.
pub(super) const MIN_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;

/// The type number of an array.
const ARRAY_TYPE: u32 = 9;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
    /// An array of flags, or of integers with fewer than 32 bits. dtr uses no such array and drops its
    /// values.
    OtherArray,
}

impl MetadataValue {
    /// Returns a description for errors.
    fn describe(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
            Self::Text(_) => "a text".to_owned(),
            Self::Integers(_) | Self::Floats(_) | Self::Texts(_) | Self::OtherArray => "an array".to_owned(),
        }
    }
}

/// The metadata of a file. A lookup returns `None` if the key is missing, and fails if the value has another
/// type.
#[derive(Debug, Default)]
pub struct GgufMetadata(BTreeMap<String, MetadataValue>);

impl GgufMetadata {
    /// Reads `count` entries.
    pub fn read(reader: &mut ByteReader<impl Read>, count: usize) -> ParseResult<Self> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text(MAX_KEY_BYTES)?;
            let type_number = reader.u32()?;
            let value = read_value(reader, type_number)
                .map_err(|problem| format!("{problem}, in the value of {}", quoted(&key)))?;
            if entries.contains_key(&key) {
                return Err(format!("defines {} twice", quoted(&key)));
            }
            entries.insert(key, value);
        }
        Ok(Self(entries))
    }

    /// Returns the whole number under `key`, which must not be negative.
    pub fn whole_number(&self, key: &str) -> ParseResult<Option<u64>> {
        let size = |value: &MetadataValue| match value {
            MetadataValue::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        self.find(key, "a whole number from 0 on", size)
    }

    /// Returns the token id under `key`.
    pub fn token_id(&self, key: &str) -> ParseResult<Option<usize>> {
        let id = |value: &MetadataValue| match value {
            MetadataValue::Integer(number) => u32::try_from(*number).ok().map(|id| id as usize),
            _ => None,
        };
        self.find(key, "a token id", id)
    }

    /// Returns the floating-point number under `key`, which must be finite.
    pub fn float(&self, key: &str) -> ParseResult<Option<f64>> {
        let number = |value: &MetadataValue| match value {
            MetadataValue::Float(number) if number.is_finite() => Some(*number),
            _ => None,
        };
        self.find(key, "a finite floating-point number", number)
    }

    /// Returns the flag under `key`.
    pub fn flag(&self, key: &str) -> ParseResult<Option<bool>> {
        let flag = |value: &MetadataValue| match value {
            MetadataValue::Bool(flag) => Some(*flag),
            _ => None,
        };
        self.find(key, "true or false", flag)
    }

    /// Returns the text under `key`.
    pub fn text(&self, key: &str) -> ParseResult<Option<&str>> {
        self.find(key, "a text", |value| match value {
            MetadataValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the array of texts under `key`.
    pub fn texts(&self, key: &str) -> ParseResult<Option<&[String]>> {
        self.find(key, "an array of texts", |value| match value {
            MetadataValue::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// Returns the array of whole numbers under `key`.
    pub fn integers(&self, key: &str) -> ParseResult<Option<&[i64]>> {
        self.find(key, "an array of whole numbers", |value| match value {
            MetadataValue::Integers(integers) => Some(integers.as_slice()),
            _ => None,
        })
    }

    /// Returns the array of floating-point numbers under `key`.
    pub fn floats(&self, key: &str) -> ParseResult<Option<&[f64]>> {
        self.find(key, "an array of floating-point numbers", |value| match value {
            MetadataValue::Floats(floats) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// Returns the value of `key`, converted by `convert`. If `convert` returns `None`, the value has the
    /// wrong type, and the error says that the value must be `expected`.
    fn find<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a MetadataValue) -> Option<T>,
    ) -> ParseResult<Option<T>> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(format!("has {} as `{key}`, which must be {expected}", value.describe())),
        }
    }
}

/// Returns `name` between backticks for an error. Shortens and escapes the name, because a file may hold any
/// name.
pub(super) fn quoted(name: &str) -> String {
    const MAX_CHARS: usize = 80;
    let start: String = name.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    let ellipsis = if name.chars().nth(MAX_CHARS).is_some() { "…" } else { "" };
    format!("`{start}{ellipsis}`")
}

/// Reads a value of the type `type_number`.
fn read_value(reader: &mut ByteReader<impl Read>, type_number: u32) -> ParseResult<MetadataValue> {
    Ok(match type_number {
        0..=5 | 10 | 11 => MetadataValue::Integer(read_integer(reader, type_number)?),
        6 | 12 => MetadataValue::Float(read_float(reader, type_number)?),
        7 => MetadataValue::Bool(read_bool(reader)?),
        8 => MetadataValue::Text(reader.text(u64::MAX)?),
        ARRAY_TYPE => read_array(reader)?,
        _ => return Err(format!("has a value of the unknown type {type_number}")),
    })
}

/// Reads an array. An array of arrays is not supported.
fn read_array(reader: &mut ByteReader<impl Read>) -> ParseResult<MetadataValue> {
    let type_number = reader.u32()?;
    let min_bytes = match type_number {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        ARRAY_TYPE => return Err("has an array of arrays, which is not supported".to_owned()),
        _ => return Err(format!("has an array of the unknown type {type_number}")),
    };
    let count = reader.count("values of an array", min_bytes, MAX_ARRAY_LEN)?;
    Ok(match type_number {
        6 | 12 => MetadataValue::Floats(
            (0..count).map(|_| read_float(reader, type_number)).collect::<ParseResult<_>>()?,
        ),
        0..=3 => {
            (0..count).try_for_each(|_| read_integer(reader, type_number).map(drop))?;
            MetadataValue::OtherArray
        }
        7 => {
            (0..count).try_for_each(|_| read_bool(reader).map(drop))?;
            MetadataValue::OtherArray
        }
        8 => MetadataValue::Texts((0..count).map(|_| reader.text(u64::MAX)).collect::<ParseResult<_>>()?),
        _ => {
            let integer = |_| {
                let number = read_integer(reader, type_number)?;
                i64::try_from(number).map_err(|_| format!("has {number} in an array"))
            };
            MetadataValue::Integers((0..count).map(integer).collect::<ParseResult<_>>()?)
        }
    })
}

/// Reads a whole number of the type `type_number`.
fn read_integer(reader: &mut ByteReader<impl Read>, type_number: u32) -> ParseResult<i128> {
    Ok(match type_number {
        0 => u8::from_le_bytes(reader.array()?).into(),
        1 => i8::from_le_bytes(reader.array()?).into(),
        2 => u16::from_le_bytes(reader.array()?).into(),
        3 => i16::from_le_bytes(reader.array()?).into(),
        4 => reader.u32()?.into(),
        5 => i32::from_le_bytes(reader.array()?).into(),
        10 => reader.u64()?.into(),
        _ => i64::from_le_bytes(reader.array()?).into(),
    })
}

/// Reads a floating-point number of the type `type_number`. Converts an f32 through its shortest decimal. The
/// f32 nearest to 1e-5 then becomes the f64 `1e-5`, as in the model's original `config.json`.
fn read_float(reader: &mut ByteReader<impl Read>, type_number: u32) -> ParseResult<f64> {
    match type_number {
        6 => {
            let number = f32::from_le_bytes(reader.array()?);
            Ok(number.to_string().parse().unwrap_or_else(|_| number.into()))
        }
        _ => Ok(f64::from_le_bytes(reader.array()?)),
    }
}

/// Reads a flag.
fn read_bool(reader: &mut ByteReader<impl Read>) -> ParseResult<bool> {
    match reader.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [byte] => Err(format!("has {byte} as a flag")),
    }
}
