//! Python's `%` operator and `str.format`. This module converts the arguments as Python does, and minijinja
//! formats them. The module charges fuel as [`limits`](super::limits) describes.

use std::sync::LazyLock;

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use regex::{Captures, Regex};

use super::limits::{charge_bytes, charge_list, check_format_width};
use super::numbers::{integer_part, number_as_f64};
use super::text::python_repr;

/// Matches a conversion of a printf-style format, such as `%5.2f`. The first group is everything before the
/// letter, and the second group is the letter.
static CONVERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(%[-+ #0]*\d*(?:\.\d+)?)([a-zA-Z%])").expect("the pattern is a constant"));

/// Matches a field of `str.format` that writes a float, such as `{:.2f}`.
static FLOAT_FIELD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{[^{}]*:[^{}]*[eEfFgG%]\}").expect("the pattern is a constant"));

/// Matches a field of `str.format` that only groups digits, such as `{:,}`.
static GROUPING_FIELD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{[^{}]*:[,_]\}").expect("the pattern is a constant"));

/// 2^53. A float holds every integer below this number exactly.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Returns Python's `text % arguments`.
///
/// # Errors
/// Fails when an argument does not fit its conversion, or when the fuel is used up.
pub(super) fn format_printf(
    state: &mut State<'_, '_>,
    text: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    check_format_width(text)?;
    let mut converted =
        arguments.iter().map(|argument| to_text(state, argument)).collect::<Result<Vec<_>, _>>()?;
    let letters =
        CONVERSION.captures_iter(text).map(|found| found[2].to_owned()).filter(|letter| letter != "%");
    for ((letter, argument), converted) in letters.zip(arguments).zip(&mut converted) {
        *converted = convert(state, &letter, argument)?;
    }
    // `%r` becomes `%s`, because its argument is text by now. `%i` and `%u` mean the same as `%d`.
    let text = CONVERSION.replace_all(text, |found: &Captures<'_>| match &found[2] {
        "r" | "s" => format!("{}s", &found[1]),
        "i" | "u" => format!("{}d", &found[1]),
        _ => found[0].to_owned(),
    });
    write(state, FormatStyle::Printf, &text, &converted)
}

/// Converts the argument of a printf-style conversion as Python does.
fn convert(state: &mut State<'_, '_>, letter: &str, argument: &Value) -> Result<Value, Error> {
    let is_number = matches!(argument.kind(), ValueKind::Number | ValueKind::Bool);
    match letter {
        "d" | "i" | "u" if is_number && !argument.is_integer() => {
            let number = number_as_f64(argument)?;
            integer_part(number).ok_or_else(|| refuse(format!("`%{letter}` cannot write {argument}")))
        }
        "e" | "E" | "f" | "F" | "g" | "G" if is_number => number_as_f64(argument).map(Value::from),
        "r" => {
            charge_list(state, argument)?;
            python_repr(argument).map(Value::from)
        }
        "s" => state.format(argument.clone()).map(Value::from),
        _ => to_text(state, argument),
    }
}

/// Returns Python's `text.format(*arguments)`.
///
/// # Errors
/// Fails when minijinja cannot format an argument as Python does, or when the fuel is used up.
pub(super) fn format_str(state: &mut State<'_, '_>, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    check_format_width(text)?;
    let differs_from_python = |argument: &Value| match argument.kind() {
        ValueKind::Plain => FLOAT_FIELD.is_match(text) || GROUPING_FIELD.is_match(text),
        ValueKind::Bool => GROUPING_FIELD.is_match(text),
        ValueKind::Number => FLOAT_FIELD.is_match(text) && !is_exact_as_float(argument),
        _ => false,
    };
    if let Some(argument) = arguments.iter().find(|argument| differs_from_python(argument)) {
        return Err(refuse(format!("`{text}` cannot format {argument} as Python does")));
    }
    let converted =
        arguments.iter().map(|argument| to_text(state, argument)).collect::<Result<Vec<_>, _>>()?;
    write(state, FormatStyle::StrFormat, text, &converted)
}

/// Returns whether a number is a float, or an integer that a float holds exactly.
///
/// In a float field, Python converts an integer to a float and may round it. minijinja keeps the integer. The
/// two texts differ if Python rounds.
fn is_exact_as_float(number: &Value) -> bool {
    !number.is_integer() || number_as_f64(number).is_ok_and(|number| number.abs() < MAX_EXACT_INTEGER)
}

/// Converts an argument to text. Text, numbers and booleans stay unchanged. Named arguments keep their names.
fn to_text(state: &mut State<'_, '_>, argument: &Value) -> Result<Value, Error> {
    if argument.is_kwargs() {
        let mut named = Vec::new();
        for name in argument.try_iter()? {
            named.push((name.to_string(), to_text(state, &argument.get_item(&name)?)?));
        }
        return Ok(Kwargs::from_iter(named).into());
    }
    match argument.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(argument.clone()),
        _ => state.format(argument.clone()).map(Value::from),
    }
}

fn write(
    state: &mut State<'_, '_>,
    style: FormatStyle,
    text: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let formatted = format(style, text, arguments)?;
    charge_bytes(state, formatted.len())?;
    Ok(formatted.into())
}
