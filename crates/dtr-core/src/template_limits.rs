//! What a template may take. The engine's fuel pays for steps and for the bytes that they make; here it also pays for
//! what the engine shows or joins before it counts, and for what this crate's own filters make.

use minijinja::value::{Kwargs, StringInput, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter, filters};

/// The most steps that a text may take; each also pays for this many bytes.
const FUEL: u64 = 10_000_000;
const BYTES_OF_STEP: u64 = 64;

/// Steps that a part of a list costs where it is shown.
const STEPS_OF_PART: u64 = 4;

/// The most levels of lists in lists.
const MOST_LEVELS: usize = 64;

/// The widest that `format` makes something.
const WIDEST: usize = 10_000;

/// Has all that `environment` renders keep to the rations.
pub fn set_rations(environment: &mut Environment<'_>) {
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value| {
        pay_for_text(state, value)?;
        escape_formatter(out, state, value)
    });
    environment.add_filter("join", join);
    environment.add_filter("string", string);
}

/// Python's methods, which pay as well.
pub fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (name, value.as_str(), arguments) {
        ("join", Some(_), [items]) => pay_for_text(state, items)?,
        ("format", Some(format), _) => ensure_narrow(format)?,
        _ => {}
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// What an error says, in words of ours where the rations are at fault.
pub fn said(error: Error) -> Error {
    match error.kind() {
        ErrorKind::OutOfFuel => Error::new(
            ErrorKind::OutOfFuel,
            format!(
                "it takes more than {FUEL} steps, of which each also pays for {BYTES_OF_STEP} bytes of text"
            ),
        ),
        _ => error,
    }
}

/// Pays for bytes that are about to be made.
pub fn pay(state: &State<'_, '_>, num_bytes: usize) -> Result<(), Error> {
    state.consume_fuel(num_bytes as u64 / BYTES_OF_STEP)
}

/// Pays for `value` as a text. Of plain values the engine counts that itself; a list may hold one text many times, and
/// lists that do.
fn pay_for_text(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => pay_for_parts(state, value, 0),
        _ => Ok(()),
    }
}

fn pay_for_parts(state: &State<'_, '_>, value: &Value, level: usize) -> Result<(), Error> {
    if level > MOST_LEVELS {
        let message = format!("lists are nested more than {MOST_LEVELS} times");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    for item in value.try_iter()? {
        state.consume_fuel(STEPS_OF_PART)?;
        match item.as_str() {
            Some(text) => pay(state, text.len())?,
            None if item.as_object().is_some() => pay_for_parts(state, &item, level + 1)?,
            None => {}
        }
        if value.kind() == ValueKind::Map {
            let item = value.get_item(&item)?;
            match item.as_str() {
                Some(text) => pay(state, text.len())?,
                None if item.as_object().is_some() => pay_for_parts(state, &item, level + 1)?,
                None => {}
            }
        }
    }
    Ok(())
}

/// The filter `join`.
fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    names: Kwargs,
) -> Result<Value, Error> {
    pay_for_text(state, value)?;
    filters::join(state, value, joiner, attribute, names)
}

/// The filter `string`.
fn string(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    pay_for_text(state, value)?;
    filters::string(state, value)
}

/// Refuses a format that makes something very wide, which the engine would make before it counts.
fn ensure_narrow(format: &str) -> Result<(), Error> {
    let mut numbers =
        format.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    match numbers.find(|digits| digits.parse::<usize>().map_or(true, |number| number > WIDEST)) {
        None => Ok(()),
        Some(digits) => {
            Err(Error::new(ErrorKind::InvalidOperation, format!("`format` with a width of {digits}")))
        }
    }
}
