//! Limits on the work of a Jinja template.
//!
//! A template has a limited amount of fuel and fails when the fuel is used up. minijinja charges fuel for
//! each step and for the text that the step writes. This module also charges for lists, because minijinja
//! formats or joins a list before it charges, and for the text that this workspace's own filters write.

use minijinja::value::{Kwargs, StringInput, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter, filters};

/// The most units of fuel that the rendering of one text may consume. A step costs one unit.
const MAX_FUEL: u64 = 10_000_000;

/// The number of bytes of text that one unit of fuel pays for.
const BYTES_PER_FUEL: u64 = 64;

/// Fuel that each item of a printed list costs.
const FUEL_PER_ITEM: u64 = 4;

/// The deepest nesting of lists that is printed.
const MAX_NESTING: usize = 64;

/// The largest width in a format string.
const MAX_FORMAT_WIDTH: usize = 10_000;

/// Applies the limits to all templates of `environment`.
pub fn apply_limits(environment: &mut Environment<'_>) {
    environment.set_fuel(Some(MAX_FUEL));
    environment.set_formatter(|out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value| {
        charge_list(state, value)?;
        escape_formatter(out, state, value)
    });
    environment.add_filter("join", join);
    environment.add_filter("string", string);
}

/// Calls the method that strings, lists or dictionaries have in Python under this name. Before `join`,
/// charges fuel for the list that is joined. Before `format`, checks the widths in the format string.
///
/// # Errors
/// Fails when the fuel is used up, when a format is too wide, or when the method does not exist or fails.
pub fn call_python_method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (name, value.as_str(), arguments) {
        ("join", Some(_), [items]) => charge_list(state, items)?,
        ("format", Some(format), _) => check_format_width(format)?,
        _ => {}
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// Replaces minijinja's message about exhausted fuel with a message that states the limits.
pub fn explain_out_of_fuel(error: Error) -> Error {
    match error.kind() {
        ErrorKind::OutOfFuel => Error::new(
            ErrorKind::OutOfFuel,
            format!(
                "it takes more than {MAX_FUEL} steps, where each {BYTES_PER_FUEL} bytes of text count as a step"
            ),
        ),
        _ => error,
    }
}

/// Charges fuel for `num_bytes` of text, before the text is written.
///
/// # Errors
/// Fails when the fuel is used up.
pub fn charge_bytes(state: &State<'_, '_>, num_bytes: usize) -> Result<(), Error> {
    state.consume_fuel(num_bytes as u64 / BYTES_PER_FUEL)
}

/// Charges fuel for printing `value`, if `value` is a list or a table.
///
/// minijinja itself charges for other values. A list can hold one long text many times, and lists can be
/// nested, so the formatted list can be far longer than the template.
fn charge_list(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => charge_items(state, value, 0),
        _ => Ok(()),
    }
}

fn charge_items(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_NESTING {
        let message = format!("lists are nested more than {MAX_NESTING} times");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    for item in value.try_iter()? {
        state.consume_fuel(FUEL_PER_ITEM)?;
        charge_item(state, &item, depth)?;
        if value.kind() == ValueKind::Map {
            charge_item(state, &value.get_item(&item)?, depth)?;
        }
    }
    Ok(())
}

fn charge_item(state: &State<'_, '_>, item: &Value, depth: usize) -> Result<(), Error> {
    match item.as_str() {
        Some(text) => charge_bytes(state, text.len()),
        None if item.as_object().is_some() => charge_items(state, item, depth + 1),
        None => Ok(()),
    }
}

/// The filter `join`. Charges fuel for the list before it is joined.
fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    names: Kwargs,
) -> Result<Value, Error> {
    charge_list(state, value)?;
    filters::join(state, value, joiner, attribute, names)
}

/// The filter `string`. Charges fuel for a list before it is formatted.
fn string(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    charge_list(state, value)?;
    filters::string(state, value)
}

/// Refuses a format string with a very large width, since minijinja writes the padded text before it charges
/// fuel.
fn check_format_width(format: &str) -> Result<(), Error> {
    let mut numbers =
        format.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    match numbers.find(|digits| digits.parse::<usize>().map_or(true, |width| width > MAX_FORMAT_WIDTH)) {
        None => Ok(()),
        Some(digits) => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("`format` has a width of {digits}, above {MAX_FORMAT_WIDTH}"),
        )),
    }
}
