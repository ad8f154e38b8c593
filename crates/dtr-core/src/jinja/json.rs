//! A JSON parser that keeps integers of any size, as Python's `json.loads` does. It can also read the numbers
//! `NaN` and `Infinity`, which Python writes and JSON lacks.

use std::borrow::Cow;

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

/// The numbers that Python writes and JSON lacks.
const SPECIAL_NUMBERS: [(&str, f64); 3] =
    [("NaN", f64::NAN), ("-Infinity", f64::NEG_INFINITY), ("Infinity", f64::INFINITY)];

/// The start of a JSON string that stands for a special number. Such a string is not valid Unicode, so no valid
/// object holds one.
const SPECIAL_NUMBER_PREFIX: &str = r#""\ud800"#;

/// Parses a JSON object that may hold the numbers `NaN`, `Infinity` and `-Infinity`, as Python writes them.
///
/// # Errors
/// Fails when the text is not such an object, and when [`parse_object`] fails.
pub fn parse_python_object(json: &str) -> Result<JsonObject, Error> {
    let json = replace_special_numbers(json, |name| format!("{SPECIAL_NUMBER_PREFIX}{name}\""));
    serde_json::from_str::<RawObject>(&json).and_then(parse_object)
}

/// Replaces `NaN`, `Infinity` and `-Infinity` outside of strings by the text that `replacement` returns for
/// them.
pub fn replace_special_numbers(json: &str, replacement: impl Fn(&str) -> String) -> Cow<'_, str> {
    if !json.contains("NaN") && !json.contains("Infinity") {
        return Cow::Borrowed(json);
    }
    let (mut replaced, mut is_string, mut is_escaped) = (String::with_capacity(json.len()), false, false);
    let mut rest = json;
    while let Some(character) = rest.chars().next() {
        let special = SPECIAL_NUMBERS.iter().find(|(name, _)| rest.starts_with(name));
        if let (false, Some((name, _))) = (is_string, special) {
            replaced.push_str(&replacement(name));
            rest = &rest[name.len()..];
            continue;
        }
        is_string ^= character == '"' && !is_escaped;
        is_escaped = is_string && character == '\\' && !is_escaped;
        replaced.push(character);
        rest = &rest[character.len_utf8()..];
    }
    Cow::Owned(replaced)
}

/// Returns the special number that a JSON string stands for.
fn special_number(text: &str) -> Option<f64> {
    let name = text.strip_prefix(SPECIAL_NUMBER_PREFIX)?.strip_suffix('"')?;
    SPECIAL_NUMBERS.iter().find(|(special, _)| *special == name).map(|(_, number)| *number)
}

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
        Some(b'"') => match special_number(text) {
            Some(number) => Ok(Value::from(number)),
            None => serde_json::from_str::<String>(text).map(Value::from),
        },
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
