//! Python's `str` and `repr` of a value.

use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};
use regex::Regex;

use super::limits::{MAX_NESTING, nested_too_deep};
use super::object::PythonObject;

/// Matches the characters that Python's `repr` escapes: all characters of Unicode's categories Other and
/// Separator. The space is a separator too, but is not escaped.
static NOT_PRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").expect("the pattern is a constant"));

/// Returns Python's `str(value)`. An undefined value becomes an empty text.
///
/// # Errors
/// Fails when the value is nested too deeply or holds an error.
pub fn python_str(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        _ => match value.downcast_object_ref::<PythonObject>() {
            Some(object) => Ok(object.text.clone()),
            None => python_repr(value),
        },
    }
}

/// Returns Python's `repr(value)`.
///
/// # Errors
/// Fails when the value is nested too deeply or holds an error.
pub fn python_repr(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    write_repr(value, 0, &mut text)?;
    Ok(text)
}

fn write_repr(value: &Value, depth: usize, text: &mut String) -> Result<(), Error> {
    if depth > MAX_NESTING {
        return Err(nested_too_deep());
    }
    match value.kind() {
        ValueKind::Undefined => text.push_str("Undefined"),
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if value.is_integer() => text.push_str(&value.to_string()),
        ValueKind::Number => text.push_str(&float_repr(f64::try_from(value.clone())?)),
        ValueKind::String => write_string_repr(value.as_str().unwrap_or_default(), text),
        ValueKind::Bytes => write_bytes_repr(value.as_bytes().unwrap_or_default(), text),
        ValueKind::Seq | ValueKind::Iterable => write_list(value, depth, text)?,
        ValueKind::Map => write_dict(value, depth, text)?,
        ValueKind::Invalid => return Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
        _ => match value.downcast_object_ref::<PythonObject>() {
            Some(object) => text.push_str(&object.repr),
            None => text.push_str(&value.to_string()),
        },
    }
    Ok(())
}

fn write_list(value: &Value, depth: usize, text: &mut String) -> Result<(), Error> {
    let [open, close] = if value.is_tuple() { ['(', ')'] } else { ['[', ']'] };
    text.push(open);
    let mut length = 0;
    for item in value.try_iter()? {
        text.push_str(if length > 0 { ", " } else { "" });
        write_repr(&item, depth + 1, text)?;
        length += 1;
    }
    if value.is_tuple() && length == 1 {
        text.push(',');
    }
    text.push(close);
    Ok(())
}

fn write_dict(value: &Value, depth: usize, text: &mut String) -> Result<(), Error> {
    text.push('{');
    for (at, key) in value.try_iter()?.enumerate() {
        text.push_str(if at > 0 { ", " } else { "" });
        write_repr(&key, depth + 1, text)?;
        text.push_str(": ");
        write_repr(&value.get_item(&key)?, depth + 1, text)?;
    }
    text.push('}');
    Ok(())
}

/// Returns Python's `repr` of a float: the fewest digits that round-trip. The text has an exponent if the
/// magnitude of the value is at least 1e16, or if it is below 1e-4 and not 0.
pub(super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    match exponent.parse::<i32>().expect("an exponent is a number") {
        -4..16 => format!("{value:?}"),
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// Returns the quotation mark that Python's `repr` puts around a string. The arguments tell which quotation
/// marks the string contains.
fn quote_of(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

fn write_string_repr(string: &str, text: &mut String) {
    let quote = quote_of(string.contains('\''), string.contains('"'));
    text.push(quote);
    for letter in string.chars() {
        match (letter, letter as u32) {
            ('\\', _) => text.push_str("\\\\"),
            ('\n', _) => text.push_str("\\n"),
            ('\r', _) => text.push_str("\\r"),
            ('\t', _) => text.push_str("\\t"),
            (letter, _) if letter == quote => text.extend(['\\', letter]),
            (' '..='~', _) => text.push(letter),
            (_, code) if NOT_PRINTABLE.is_match(letter.encode_utf8(&mut [0; 4])) => match code {
                0..=0xff => text.push_str(&format!("\\x{code:02x}")),
                0x100..=0xffff => text.push_str(&format!("\\u{code:04x}")),
                _ => text.push_str(&format!("\\U{code:08x}")),
            },
            _ => text.push(letter),
        }
    }
    text.push(quote);
}

fn write_bytes_repr(bytes: &[u8], text: &mut String) {
    let quote = quote_of(bytes.contains(&b'\''), bytes.contains(&b'"'));
    text.extend(['b', quote]);
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            byte if char::from(*byte) == quote => text.extend(['\\', quote]),
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push(quote);
}
