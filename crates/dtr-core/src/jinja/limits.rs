//! Limits on the work of a Jinja template.
//!
//! A template has a limited amount of fuel and fails when the fuel is used up. minijinja charges fuel for
//! each step and for the text that the step writes.
//!
//! This module charges fuel for two more things. First, it charges for the text that this workspace's own
//! filters write. Second, it charges for lists in advance, because minijinja charges for a list only after it
//! has formatted or joined the list.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// The most units of fuel that the rendering of one text may consume. A step costs one unit.
const MAX_FUEL: u64 = 10_000_000;

/// The number of bytes of text that one unit of fuel pays for.
const BYTES_PER_FUEL: u64 = 64;

/// The units of fuel that each item of a printed list costs.
const FUEL_PER_ITEM: u64 = 4;

/// The deepest nesting of lists that a template may print.
pub(super) const MAX_NESTING: usize = 64;

/// The largest width or precision that a format string may have.
const MAX_FORMAT_WIDTH: usize = 10_000;

/// Sets the fuel of all templates of `environment`.
pub(super) fn set_fuel(environment: &mut Environment<'_>) {
    environment.set_fuel(Some(MAX_FUEL));
}

/// Replaces minijinja's message about exhausted fuel with a message that states the limits.
pub fn explain_out_of_fuel(error: Error) -> Error {
    match error.kind() {
        ErrorKind::OutOfFuel => Error::new(
            ErrorKind::OutOfFuel,
            format!(
                "it takes more than {MAX_FUEL} steps; each {BYTES_PER_FUEL} bytes of text count as one step"
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

/// Charges fuel for printing `value`, if `value` is a list, a mapping or an iterator.
///
/// A printed list can be far longer than its template, because a list can hold one long text many times, and
/// lists can be nested. For other values, minijinja itself charges fuel.
pub(super) fn charge_list(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => charge_items(state, value, 0),
        _ => Ok(()),
    }
}

fn charge_items(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_NESTING {
        return Err(nested_too_deep());
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

/// Returns the error for lists that are nested more than [`MAX_NESTING`] times.
pub(super) fn nested_too_deep() -> Error {
    let message = format!("lists are nested more than {MAX_NESTING} times");
    Error::new(ErrorKind::InvalidOperation, message)
}

fn charge_item(state: &State<'_, '_>, item: &Value, depth: usize) -> Result<(), Error> {
    match item.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => charge_items(state, item, depth + 1),
        _ => charge_bytes(state, item.as_bytes().map_or(0, <[u8]>::len)),
    }
}

/// Refuses a format string with a very large width. minijinja charges fuel for a text only after it has
/// written the text, so a large width could exhaust the memory first.
pub(super) fn check_format_width(format: &str) -> Result<(), Error> {
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
