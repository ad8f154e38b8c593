//! Formats the values of a column for the page. The page displays rounded values, and sorts by exact values.

use polars::prelude::{AnyValue, Column};
use serde::Serialize;

use super::record_links::RecordLinks;
use crate::report::schema::ColumnSpec;

/// Number of decimals of a fraction or a probability.
const NUM_FRACTION_DECIMALS: usize = 4;

/// Number of digits of the largest displayed number of a column, including digits after the decimal point.
/// This does not apply to fractions and probabilities, which have [`NUM_FRACTION_DECIMALS`] decimals.
const NUM_DIGITS: i32 = 4;

/// Number of hexadecimal digits to which the page shortens a key. The program's messages show as many digits.
const NUM_KEY_DIGITS: usize = 12;

/// A formatted value.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct DisplayedValue {
    /// The displayed text. Empty for null.
    pub(super) text: String,
    /// The exact number, if `text` is rounded or has spaces between its digits.
    pub(super) value: Option<String>,
    /// Path of the cell's record relative to the page, if the value is the key of a cell.
    pub(super) href: Option<String>,
}

/// The kind of a column's values. The kind determines the alignment and the sort order of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ColumnKind {
    /// Numbers, right-aligned and sorted by value.
    Number,
    /// Keys of cells. Each key is a link to the cell's record.
    Record,
    /// Any other values, sorted alphabetically.
    Text,
}

/// Returns the kind of a column, and its first `num_rows` values as the page displays them.
pub(super) fn display_values(
    spec: &ColumnSpec,
    column: &Column,
    num_rows: usize,
    links: &RecordLinks,
) -> (ColumnKind, Vec<DisplayedValue>) {
    let values: Vec<AnyValue<'_>> =
        (0..num_rows).map(|row| column.get(row).expect("the row is in the table")).collect();
    let decimals = num_decimals(spec, &values);
    let displayed = values.iter().map(|value| display_value(value, decimals, links)).collect();
    (column_kind(&values, links), displayed)
}

fn column_kind(values: &[AnyValue<'_>], links: &RecordLinks) -> ColumnKind {
    let present: Vec<&AnyValue<'_>> = values.iter().filter(|value| !value.is_null()).collect();
    let is_key = |value: &AnyValue<'_>| value.get_str().is_some_and(|key| links.has_key(key));
    if present.is_empty() {
        ColumnKind::Text
    } else if present.iter().all(|value| value.is_primitive_numeric()) {
        ColumnKind::Number
    } else if present.iter().all(|value| is_key(value)) {
        ColumnKind::Record
    } else {
        ColumnKind::Text
    }
}

fn display_value(value: &AnyValue<'_>, decimals: usize, links: &RecordLinks) -> DisplayedValue {
    let text = |text: String| DisplayedValue { text, ..DisplayedValue::default() };
    match value {
        AnyValue::Null => DisplayedValue::default(),
        AnyValue::Boolean(truth) => text(if *truth { "yes" } else { "no" }.to_owned()),
        AnyValue::Float64(number) => {
            DisplayedValue { text: round_to(*number, decimals), value: Some(number.to_string()), href: None }
        }
        AnyValue::UInt32(number) => display_count(u64::from(*number)),
        AnyValue::UInt64(number) => display_count(*number),
        AnyValue::List(list) => {
            let numbers = list.iter().map(|value| value.try_extract::<f64>().unwrap_or(f64::NAN));
            text(numbers.map(|number| round_to(number, 3)).collect::<Vec<_>>().join(", "))
        }
        other => match other.get_str() {
            Some(key) if links.has_key(key) => {
                DisplayedValue { text: short_key(key), value: None, href: links.record_path(key) }
            }
            Some(other) => text(other.to_owned()),
            None => text(other.to_string()),
        },
    }
}

/// Returns the first digits of a key.
pub(super) fn short_key(key: &str) -> String {
    key.chars().take(NUM_KEY_DIGITS).collect()
}

fn display_count(number: u64) -> DisplayedValue {
    let text = group_digits(number);
    let value = (text.len() != number.to_string().len()).then(|| number.to_string());
    DisplayedValue { text, value, href: None }
}

/// Formats a count with narrow no-break spaces between groups of three digits.
pub(super) fn group_digits(number: u64) -> String {
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

/// Formats a number with the given number of decimals. A positive number that would be rounded to 0 is
/// written as an upper bound, such as `<0.0001`.
fn round_to(number: f64, decimals: usize) -> String {
    let least = 0.1_f64.powi(decimals as i32);
    if number > 0.0 && number < 0.5 * least {
        return format!("<{least:.decimals$}");
    }
    // The minus sign U+2212 is as wide as a digit. A hyphen is narrower.
    format!("{number:.decimals$}").replace('-', "\u{2212}")
}

/// Returns the number of decimals for all values of a column. All values have the same number of decimals, so
/// that the decimal points align.
fn num_decimals(spec: &ColumnSpec, values: &[AnyValue<'_>]) -> usize {
    if matches!(spec.unit, "fraction" | "probability") {
        return NUM_FRACTION_DECIMALS;
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
    fn digits_are_grouped_in_threes() {
        let texts = [0, 999, 1_000, 1_234_567].map(group_digits);
        assert_eq!(texts, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }

    #[test]
    fn a_small_number_is_not_displayed_as_zero() {
        assert_eq!(round_to(0.0, 4), "0.0000");
        assert_eq!(round_to(0.000_04, 4), "<0.0001");
        assert_eq!(round_to(0.000_06, 4), "0.0001");
        assert_eq!(round_to(-1.25, 1), "\u{2212}1.2");
    }
}
