//! Whole numbers with an optional decimal suffix: `100M`, `64k`, `512`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A positive whole number, written as an integer or as a string with the suffix `k`, `M` or `B`, such as
/// `"100M"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Count(pub u64);

/// The largest count that a configuration may hold. It exceeds the number of training tokens of every known
/// model.
const MAX_COUNT: u64 = 1_000_000_000_000_000;

impl Count {
    /// Parses `100M`, `1.5k` or `512`. Returns `None` when the value is not a whole number below 9e15. An f64
    /// holds every whole number below 9e15 exactly.
    fn parse(text: &str) -> Option<u64> {
        let (digits, unit) = match text.as_bytes().last()? {
            b'k' => (&text[..text.len() - 1], 1e3),
            b'M' => (&text[..text.len() - 1], 1e6),
            b'B' => (&text[..text.len() - 1], 1e9),
            _ => (text, 1.0),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        let value = digits.parse::<f64>().ok()? * unit;
        (value.fract() == 0.0 && value < 9e15).then_some(value as u64)
    }
}

impl fmt::Display for Count {
    /// Writes the number with the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, suffix) in [(1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{suffix}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number such as 512, \"64k\", \"100M\" or \"1B\"")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Count, E> {
        Ok(Count(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Count, E> {
        u64::try_from(value).map(Count).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Count, E> {
        Count::parse(value).map(Count).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A positive whole number, or a string with the suffix k, M or B, such as \"100M\".",
            "oneOf": [
                { "type": "integer", "minimum": 1, "maximum": MAX_COUNT },
                { "type": "string", "pattern": "^0*([1-9][0-9]*(\\.[0-9]+)?|0\\.0*[1-9][0-9]*)[kMB]?$" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_with_a_suffix_is_parsed() {
        assert_eq!(Count::parse("100M"), Some(100_000_000));
        assert_eq!(Count::parse("1.5k"), Some(1_500));
        assert_eq!(Count::parse("512"), Some(512));
        for bad in ["", "k", "-5", "1.5", "1e3", "ten", "99999999B"] {
            assert_eq!(Count::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_formatted_count_parses_to_the_same_number() {
        for value in [0, 7, 1_500, 64_000, 100_000_000, 2_000_000_000] {
            assert_eq!(Count::parse(&Count(value).to_string()), Some(value));
        }
    }
}
