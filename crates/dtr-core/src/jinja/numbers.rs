//! The filters `int`, `float` and `round`, by the rules of Jinja and Python.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value, filters};

use super::json::parse_integer;
use super::object::{NumberKind, PythonObject};

/// Jinja's filter `int`. Returns Python's `int(value)`. For a string such as `42.23`, returns the integer
/// part. Returns the default if the value cannot be converted.
pub(super) fn int(
    _: &mut State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Value, Error> {
    let default = default.map_or_else(|| named.get::<Option<Value>>("default"), |value| Ok(Some(value)))?;
    let base = base.map_or_else(|| named.get::<Option<u32>>("base"), |base| Ok(Some(base)))?.unwrap_or(10);
    named.assert_all_used()?;
    let converted = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Bool => Some(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Some(value.clone()),
        ValueKind::Number => {
            let number = f64::try_from(value.clone())?;
            if number.is_infinite() {
                return Err(refuse("cannot convert float infinity to integer"));
            }
            integer_part(number)
        }
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            int_of_text(text, base).or_else(|| integer_part(parse_float(text)?))
        }
        _ => int_of_object(value),
    };
    Ok(converted.or(default).unwrap_or(Value::from(0)))
}

/// Jinja's filter `float`. Returns Python's `float(value)`, or the default where Python raises an error.
pub(super) fn float(
    _: &mut State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let default = default.map_or_else(|| named.get::<Option<Value>>("default"), |value| Ok(Some(value)))?;
    named.assert_all_used()?;
    let converted = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => Some(number_as_f64(value)?),
        ValueKind::String => parse_float(value.as_str().unwrap_or_default()),
        _ => object_of(value)
            .filter(|object| object.number.is_some())
            .and_then(|object| parse_float(&object.text)),
    };
    Ok(converted.map(Value::from).or(default).unwrap_or(Value::from(0.0)))
}

/// Jinja's filter `round`. With the `method` `ceil` or `floor`, returns a float even for an integer.
pub(super) fn round(
    _: &mut State<'_, '_>,
    value: Value,
    precision: Option<i32>,
    method: Option<&str>,
    named: Kwargs,
) -> Result<Value, Error> {
    let method = match method {
        Some(method) => method.to_owned(),
        None => named.get::<Option<&str>>("method")?.unwrap_or("common").to_owned(),
    };
    let value = match (value.kind(), method.as_str()) {
        (ValueKind::Bool, "common") => Value::from(i64::from(value.is_true())),
        (ValueKind::Bool | ValueKind::Number, "ceil" | "floor") => Value::from(number_as_f64(&value)?),
        _ => value,
    };
    filters::round(value, precision, Some(&method), named)
}

fn refuse(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

fn object_of(value: &Value) -> Option<&PythonObject> {
    value.downcast_object_ref::<PythonObject>()
}

/// Converts a number or a boolean to the nearest float.
pub(super) fn number_as_f64(value: &Value) -> Result<f64, Error> {
    match value.kind() {
        ValueKind::Bool => Ok(f64::from(u8::from(value.is_true()))),
        // The first conversion fails for an integer that no float holds exactly. Parsing its digits then
        // gives the nearest float.
        _ => f64::try_from(value.clone()).or_else(|_| {
            value.to_string().parse().map_err(|_| refuse("cannot convert the value to a float"))
        }),
    }
}

fn int_of_object(value: &Value) -> Option<Value> {
    let object = object_of(value)?;
    match object.number? {
        NumberKind::Integer => Some(value.clone()),
        NumberKind::Decimal => {
            let is_plain = !object.text.contains('E');
            let whole = object.text.split('.').next().filter(|_| is_plain).unwrap_or("0");
            parse_integer(whole)
        }
    }
}

/// Returns the integer part of a float, or `None` for NaN and infinity.
pub(super) fn integer_part(number: f64) -> Option<Value> {
    number.is_finite().then(|| parse_integer(&format!("{:.0}", number.trunc())))?
}

/// Returns Python's `int(text, base)`, or `None` where Python raises an error.
fn int_of_text(text: &str, base: u32) -> Option<Value> {
    let text = remove_underscores(text.trim())?;
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text.as_str()),
    };
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let has_prefix = digits.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let digits = if has_prefix { digits[prefix.len()..].trim_start_matches('_') } else { digits };
    if digits.is_empty() || !(2..=36).contains(&base) || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    match base {
        10 => parse_integer(&format!("{sign}{digits}")),
        _ => i128::from_str_radix(&format!("{sign}{digits}"), base).ok().map(Value::from),
    }
}

/// Returns Python's `float(text)`, or `None` where Python raises an error.
fn parse_float(text: &str) -> Option<f64> {
    remove_underscores(text.trim())?.parse().ok()
}

/// Removes underscores between digits. Returns `None` if an underscore is elsewhere. Python refuses such a
/// number.
fn remove_underscores(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('_').collect();
    let is_between_digits = parts.windows(2).all(|pair| {
        pair[0].ends_with(|digit: char| digit.is_ascii_alphanumeric())
            && pair[1].starts_with(|digit: char| digit.is_ascii_alphanumeric())
    });
    is_between_digits.then(|| parts.concat())
}
