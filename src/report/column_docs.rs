//! The reference of all tables and columns, as JSON for programs and as Markdown for readers.

use serde_json::{Value, json};

use super::columns::TABLES;
use super::schema::{ColumnSpec, TableSpec};
use dtr_core::markdown::wrap_markdown;

/// Returns the reference as JSON, for `schemas/columns.json`.
pub fn columns_json() -> Value {
    let tables: Vec<Value> = TABLES
        .iter()
        .map(|table| {
            let columns = columns_to_json(table.columns.iter().map(|column| (column.name, column)));
            json!({ "name": table.name, "about": table.about(), "columns": columns })
        })
        .collect();
    json!({ "tables": tables })
}

/// Converts columns to JSON. `columns` gives the name and the declaration of each column.
pub(super) fn columns_to_json<'a>(columns: impl Iterator<Item = (&'a str, &'a ColumnSpec)>) -> Value {
    let column = |(name, column): (&str, &ColumnSpec)| {
        json!({
            "name": name,
            "dtype": column.dtype,
            "nullable": column.nullable,
            "unit": column.unit,
            "about": column.about(),
        })
    };
    columns.map(column).collect()
}

/// Returns the reference as Markdown with wrapped lines.
pub fn columns_markdown() -> String {
    let tables: Vec<String> = TABLES.iter().map(table_markdown).collect();
    wrap_markdown(&format!("# Tables and their columns\n\n{}", tables.join("\n")))
}

fn table_markdown(table: &TableSpec) -> String {
    let mut text = format!("## {}\n\n{}\n\n", table.name, table.about());
    text.push_str("| column | type | unit | meaning |\n| --- | --- | --- | --- |\n");
    for column in table.columns {
        let optional = if column.nullable { ", or null" } else { "" };
        let row = format!(
            "| `{}` | {}{optional} | {} | {} |\n",
            column.name,
            column.dtype,
            column.unit,
            column.about()
        );
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_one_sentence() {
        for column in TABLES.iter().flat_map(|table| table.columns) {
            assert!(column.about().ends_with('.'), "{}: {}", column.name, column.about());
            assert!(!column.about().contains(". "), "{}: {}", column.name, column.about());
            assert!(!column.about().contains("  "), "{}: {}", column.name, column.about());
        }
    }

    #[test]
    fn a_column_of_the_same_name_means_the_same_everywhere() {
        let names = ["model", "axes", "round"];
        for name in names {
            let columns = TABLES.iter().flat_map(|table| table.columns).filter(|column| column.name == name);
            let mut sentences: Vec<_> = columns.map(|column| column.about()).collect();
            sentences.dedup();
            assert_eq!(sentences.len(), 1, "{name}: {sentences:?}");
        }
    }

    #[test]
    fn markdown_has_a_row_for_each_column() {
        let markdown = columns_markdown();
        assert!(
            markdown.contains("| `log_likelihoods` | List(Float64) | nats | Log-likelihood of each choice")
        );
        assert!(markdown.contains("| `peak_memory_bytes` | UInt64, or null | bytes |"));
        let num_columns: usize = TABLES.iter().map(|table| table.columns.len()).sum();
        let num_rows = markdown.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(num_rows, num_columns);
    }
}
