//! How a table is declared: a struct whose fields are its columns and whose doc comments document both.
//!
//! Everything said about a column is said once, in `columns/`; the DataFrame, the metadata of its file
//! and the written documentation are drawn from there. Knows nothing of what the tables hold.

use polars::prelude::*;

/// A table: its name, what a row is, its columns in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableSpec {
    /// Name of the table, and of its file without the ending.
    pub name: &'static str,
    pub(super) about: &'static str,
    /// The columns in their order.
    pub columns: &'static [ColumnSpec],
}

/// A column: its name, type and unit, and a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnSpec {
    /// Name of the column.
    pub name: &'static str,
    /// Type, as polars names it.
    pub dtype: &'static str,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// Unit; empty for names, indices and truth values.
    pub unit: &'static str,
    pub(super) about: &'static str,
}

impl TableSpec {
    /// What a row of the table is.
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

impl ColumnSpec {
    /// What the column holds, in one sentence.
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

/// A row of a declared table.
pub trait Row: Sized {
    /// The table that it is a row of.
    const TABLE: TableSpec;

    /// The columns of `rows`, in the order of the declaration.
    fn columns(rows: &[Self]) -> Vec<Column>;

    /// The table with these rows, in their order.
    fn frame(rows: &[Self]) -> PolarsResult<DataFrame> {
        DataFrame::new(rows.len(), Self::columns(rows))
    }
}

/// A value that a column can hold.
pub(super) trait Value: Sized {
    /// The column's type, as polars names it.
    const DTYPE: &'static str;
    /// Whether a value may be missing.
    const NULLABLE: bool = false;

    /// The column `name` with these values.
    fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column
    where
        Self: 'a;
}

macro_rules! plain_values {
    ($($kind:ty => $dtype:literal),+ $(,)?) => {$(
        impl Value for $kind {
            const DTYPE: &'static str = $dtype;

            fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column {
                Column::new(name.into(), values.cloned().collect::<Vec<$kind>>())
            }
        }

        impl Value for Option<$kind> {
            const DTYPE: &'static str = $dtype;
            const NULLABLE: bool = true;

            fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column {
                Column::new(name.into(), values.cloned().collect::<Vec<Option<$kind>>>())
            }
        }
    )+};
}

plain_values! {
    String => "String",
    bool => "Boolean",
    u32 => "UInt32",
    u64 => "UInt64",
    f64 => "Float64",
}

impl Value for Vec<f64> {
    const DTYPE: &'static str = "List(Float64)";

    fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column {
        let values: Vec<&Vec<f64>> = values.collect();
        let num_numbers = values.iter().map(|list| list.len()).sum();
        let mut builder = ListPrimitiveChunkedBuilder::<Float64Type>::new(
            name.into(),
            values.len(),
            num_numbers,
            DataType::Float64,
        );
        for list in values {
            builder.append_slice(list);
        }
        builder.finish().into_series().into_column()
    }
}

/// Declares tables: for each, its name, its row struct, and a `field: type => "unit"` for each column.
///
/// Doc comments are not only comments here: they are what files and documentation say about the column.
macro_rules! tables {
    ($(
        $(#[doc = $about:literal])+
        $name:ident of $row:ident {
            $( $(#[doc = $sentence:literal])+ $field:ident: $kind:ty => $unit:literal, )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $row {
                $( $(#[doc = $sentence])+ pub $field: $kind, )+
            }

            impl Row for $row {
                const TABLE: TableSpec = TableSpec {
                    name: stringify!($name),
                    about: concat!($($about),+),
                    columns: &[$(
                        ColumnSpec {
                            name: stringify!($field),
                            dtype: <$kind as Value>::DTYPE,
                            nullable: <$kind as Value>::NULLABLE,
                            unit: $unit,
                            about: concat!($($sentence),+),
                        },
                    )+],
                };

                fn columns(rows: &[Self]) -> Vec<Column> {
                    vec![$( Value::column(stringify!($field), rows.iter().map(|row| &row.$field)) ),+]
                }
            }
        )+
    };
}

pub(super) use tables;
