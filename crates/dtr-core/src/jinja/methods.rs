//! Python's methods of strings, lists, dictionaries, bytes and dates.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::format::format_str;
use super::limits::charge_list;
use super::object::PythonObject;

/// Calls a method of a value. The methods `join` and `format` consume fuel, minijinja's budget of work for a
/// template, in proportion to the text that they write.
///
/// # Errors
/// Fails when the fuel is used up, or when the method does not exist or refuses its arguments.
pub(super) fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (value.kind(), name, arguments) {
        (ValueKind::String, "removeprefix" | "removesuffix", [part]) => remove_part(value, name, part),
        (ValueKind::String, "join", [items]) => join(state, value, items),
        (ValueKind::String, "format", _) => format_str(state, value.as_str().unwrap_or_default(), arguments),
        (ValueKind::Seq, "index", [wanted]) => index(value, wanted),
        (ValueKind::Bytes, "decode", _) => decode(value),
        (ValueKind::Plain, "isoformat", []) => isoformat(value),
        _ => unknown_method_callback(state, value, name, arguments),
    }
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn remove_part(value: &Value, name: &str, part: &Value) -> Result<Value, Error> {
    let (Some(text), Some(part)) = (value.as_str(), part.as_str()) else {
        return Err(refuse(format!("`{name}` takes text")));
    };
    let shortened = if name == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
    Ok(shortened.unwrap_or(text).into())
}

/// Returns Python's `value.join(items)`. Fails if an item is not a string, as Python does.
fn join(state: &mut State<'_, '_>, value: &Value, items: &Value) -> Result<Value, Error> {
    charge_list(state, items)?;
    let other = items.try_iter()?.find(|item| item.as_str().is_none());
    match other {
        Some(other) => Err(refuse(format!("`join` takes texts, and the list has a {}", other.kind()))),
        None => unknown_method_callback(state, value, "join", std::slice::from_ref(items)),
    }
}

fn index(value: &Value, wanted: &Value) -> Result<Value, Error> {
    let index = value.try_iter()?.position(|element| element == *wanted);
    index.map(Value::from).ok_or_else(|| refuse("`index` cannot find the value in the list"))
}

fn decode(value: &Value) -> Result<Value, Error> {
    let text = str::from_utf8(value.as_bytes().unwrap_or_default());
    text.map(Value::from).map_err(|cause| refuse("`decode` needs UTF-8").with_source(cause))
}

fn isoformat(value: &Value) -> Result<Value, Error> {
    let object = value.downcast_object_ref::<PythonObject>().filter(|object| !object.attributes.is_empty());
    let object = object.ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    Ok(object.text.replacen(' ', "T", 1).into())
}
