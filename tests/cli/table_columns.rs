//! Reads columns of tables as vectors.

use polars::prelude::DataFrame;

/// Returns the texts of a column. A missing text is `None`.
pub fn optional_texts(table: &DataFrame, column: &str) -> Vec<Option<String>> {
    let texts = table.column(column).unwrap().str().unwrap().iter();
    texts.map(|text| text.map(str::to_owned)).collect()
}

/// Returns the texts of a column. Panics if a text is missing.
pub fn texts(table: &DataFrame, column: &str) -> Vec<String> {
    optional_texts(table, column).into_iter().map(Option::unwrap).collect()
}

/// Returns the numbers of a column. Panics if a number is missing.
pub fn numbers(table: &DataFrame, column: &str) -> Vec<f64> {
    table.column(column).unwrap().f64().unwrap().iter().map(Option::unwrap).collect()
}

/// Returns the numbers of a column. A missing number is `None`.
pub fn optional_numbers(table: &DataFrame, column: &str) -> Vec<Option<f64>> {
    table.column(column).unwrap().f64().unwrap().iter().collect()
}

/// Returns the counts of a column. Panics if a count is missing.
pub fn counts(table: &DataFrame, column: &str) -> Vec<u64> {
    let counts = table.column(column).unwrap().cast(&polars::prelude::DataType::UInt64).unwrap();
    counts.u64().unwrap().iter().map(Option::unwrap).collect()
}
