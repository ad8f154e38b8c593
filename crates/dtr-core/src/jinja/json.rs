//! A JSON parser that keeps integers of any size, as Python's `json.loads` does.

use indexmap::IndexMap;
use minijinja::Value;
use serde::de::Error as _;
use serde_json::Error;
use serde_json::value::RawValue;

use super::object::PythonObject;

/// A JSON object whose values are not parsed yet. If a key occurs twice, its last value counts.
pub type RawObject = IndexMap<String, Box<RawValue>>;

/// A JSON object whose values are parsed.
pub type JsonObject = IndexMap<String, Value>;

/// The deepest allowed nesting of lists and objects.
const MAX_DEPTH: usize = 128;

/// Parses the values of a JSON object.
///
/// # Errors
/// Fails when a string is not valid Unicode, a float is out of range, or a value is nested too deeply.
pub fn parse_object(object: RawObject) -> Result<JsonObject, Error> {
    object.into_iter().map(|(key, value)| Ok((key, parse_nested(&value, 1)?))).collect()
}

/// Parses a JSON value.
///
/// # Errors
/// Fails when a string is not valid Unicode, a float is out of range, or a value is nested too deeply.
pub fn parse_value(json: &RawValue) -> Result<Value, Error> {
    parse_nested(json, 0)
}

fn parse_nested(json: &RawValue, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::custom(format!("the value is nested more than {MAX_DEPTH} times")));
    }
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let entries: RawObject = serde_json::from_str(text)?;
            let pairs = entries.into_iter().map(|(key, value)| Ok((key, parse_nested(&value, depth + 1)?)));
            Ok(Value::from_pairs(pairs.collect::<Result<Vec<_>, Error>>()?))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            items
                .into_iter()
                .map(|item| parse_nested(item, depth + 1))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from)
        }
        Some(b'"') => serde_json::from_str::<String>(text).map(Value::from),
        Some(b't' | b'f') => serde_json::from_str::<bool>(text).map(Value::from),
        Some(b'n') => Ok(Value::from(())),
        _ => parse_number(text).ok_or_else(|| Error::custom(format!("the number `{text}` is out of range"))),
    }
}

fn parse_number(text: &str) -> Option<Value> {
    match text.contains(['.', 'e', 'E']) {
        true => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        false => parse_integer(text),
    }
}

/// Parses an integer of any size, which may have a sign. Returns `None` if `text` is not an integer.
pub fn parse_integer(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<i128>() {
        return Some(number.into());
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    Some(Value::from_object(PythonObject::integer(format!("{sign}{}", digits.trim_start_matches('0')))))
}
