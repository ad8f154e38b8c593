//! The values of a column as a reader sees them: aligned, and still exact for whoever sorts by them.

use polars::prelude::{AnyValue, Column};
use serde::Serialize;

use super::records::Records;
use crate::report::schema::ColumnSpec;

/// Shares and probabilities have as many decimals in every table, so that they compare by eye.
const NUM_DECIMALS_OF_SHARES: usize = 4;

/// Digits of the largest number of any other column.
const NUM_DIGITS: i32 = 4;

/// Digits of a key in the page: as many as messages show.
const NUM_KEY_DIGITS: usize = 12;

/// One value.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Cell {
    /// What is shown; empty where the value is missing.
    pub(super) text: String,
    /// The exact number, where what is shown is not.
    pub(super) value: Option<String>,
    /// The record of the cell whose key the value is.
    pub(super) href: Option<String>,
}

/// What a column holds, for its alignment and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Numbers, the larger after the smaller.
    Number,
    /// Keys of cells.
    Record,
    /// Everything else, in the order of its letters.
    Text,
}

/// The kind of a column and its first `num_rows` values.
pub(super) fn cells(
    spec: &ColumnSpec,
    column: &Column,
    num_rows: usize,
    records: &Records,
) -> (Kind, Vec<Cell>) {
    let values: Vec<AnyValue<'_>> =
        (0..num_rows).map(|row| column.get(row).expect("the row is in the table")).collect();
    let decimals = num_decimals(spec, &values);
    let cells = values.iter().map(|value| cell(value, decimals, records)).collect();
    (kind(&values, records), cells)
}

fn kind(values: &[AnyValue<'_>], records: &Records) -> Kind {
    let present: Vec<&AnyValue<'_>> = values.iter().filter(|value| !value.is_null()).collect();
    let is_key = |value: &AnyValue<'_>| value.get_str().is_some_and(|key| records.has(key));
    if present.is_empty() {
        Kind::Text
    } else if present.iter().all(|value| value.is_primitive_numeric()) {
        Kind::Number
    } else if present.iter().all(|value| is_key(value)) {
        Kind::Record
    } else {
        Kind::Text
    }
}

fn cell(value: &AnyValue<'_>, decimals: usize, records: &Records) -> Cell {
    let text = |text: String| Cell { text, ..Cell::default() };
    match value {
        AnyValue::Null => Cell::default(),
        AnyValue::Boolean(truth) => text(if *truth { "yes" } else { "no" }.to_owned()),
        AnyValue::Float64(number) => {
            Cell { text: rounded(*number, decimals), value: Some(number.to_string()), href: None }
        }
        AnyValue::UInt32(number) => count(u64::from(*number)),
        AnyValue::UInt64(number) => count(*number),
        AnyValue::List(list) => {
            let numbers = list.iter().map(|value| value.try_extract::<f64>().unwrap_or(f64::NAN));
            text(numbers.map(|number| rounded(number, 3)).collect::<Vec<_>>().join(", "))
        }
        other => match other.get_str() {
            Some(key) if records.has(key) => Cell { text: short(key), value: None, href: records.link(key) },
            Some(other) => text(other.to_owned()),
            None => text(other.to_string()),
        },
    }
}

/// The first digits of a key.
pub(super) fn short(key: &str) -> String {
    key.chars().take(NUM_KEY_DIGITS).collect()
}

fn count(number: u64) -> Cell {
    let text = grouped(number);
    let value = (text.len() != number.to_string().len()).then(|| number.to_string());
    Cell { text, value, href: None }
}

/// A count with its digits in threes, parted by narrow spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number at so many decimals; one that would look like 0 and is not says that it is less.
fn rounded(number: f64, decimals: usize) -> String {
    let least = 0.1_f64.powi(decimals as i32);
    if number > 0.0 && number < 0.5 * least {
        return format!("<{least:.decimals$}");
    }
    // A proper minus, as wide as a digit.
    format!("{number:.decimals$}").replace('-', "\u{2212}")
}

/// Decimals that all numbers of a column share, so that their points align.
fn num_decimals(spec: &ColumnSpec, values: &[AnyValue<'_>]) -> usize {
    if matches!(spec.unit, "fraction" | "probability") {
        return NUM_DECIMALS_OF_SHARES;
    }
    let numbers = values.iter().filter_map(|value| value.extract::<f64>());
    let largest = numbers.fold(0.0, |largest: f64, number| largest.max(number.abs()));
    if largest == 0.0 {
        return 1;
    }
    let num_before_point = largest.log10().floor() as i32 + 1;
    (NUM_DIGITS - num_before_point).clamp(0, 6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        let texts = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }

    #[test]
    fn a_number_that_is_not_zero_does_not_look_like_it() {
        assert_eq!(rounded(0.0, 4), "0.0000");
        assert_eq!(rounded(0.000_04, 4), "<0.0001");
        assert_eq!(rounded(0.000_06, 4), "0.0001");
        assert_eq!(rounded(-1.25, 1), "\u{2212}1.2");
    }
}
