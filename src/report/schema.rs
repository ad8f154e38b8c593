//! The macro `tables!`, which declares each table as a struct. The fields of the struct are the columns. The
//! doc comments of the struct and of its fields describe the table and its columns.
//!
//! Each column is declared once, in `columns/`. Data frames, the metadata of Parquet files and the column
//! reference are generated from that declaration.

use polars::prelude::*;

/// Declaration of a table: its name, its description and its columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableSpec {
    /// Name of the table, and of its file without the extension.
    pub name: &'static str,
    pub(super) about: &'static str,
    /// The columns, in the order of the file.
    pub columns: &'static [ColumnSpec],
}

/// Declaration of a column: its name, type, unit and description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnSpec {
    /// Name of the column.
    pub name: &'static str,
    /// Name of the data type in polars.
    pub dtype: &'static str,
    /// Whether the column may contain nulls.
    pub nullable: bool,
    /// Unit of the values. Empty for names, indices and booleans.
    pub unit: &'static str,
    pub(super) about: &'static str,
}

impl TableSpec {
    /// Returns the description of the table. The description starts with the meaning of a row.
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

impl ColumnSpec {
    /// Returns the sentence that describes the column.
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

/// A row of a table that the macro `tables!` declares.
pub trait TableRow: Sized {
    /// Declaration of the table.
    const TABLE: TableSpec;

    /// Converts rows to columns. The columns are in the order of the declaration.
    fn to_columns(rows: &[Self]) -> Vec<Column>;

    /// Converts rows to a data frame.
    ///
    /// # Errors
    /// Fails if polars cannot build the data frame.
    fn to_data_frame(rows: &[Self]) -> PolarsResult<DataFrame> {
        DataFrame::new(rows.len(), Self::to_columns(rows))
    }
}

/// A Rust type that the values of a column can have.
pub(super) trait ColumnValue: Sized {
    /// Name of the column's data type in polars.
    const DTYPE: &'static str;
    /// Whether the column may contain nulls.
    const NULLABLE: bool = false;

    /// Builds the column `name` from `values`.
    fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column
    where
        Self: 'a;
}

macro_rules! scalar_values {
    ($($kind:ty => $dtype:literal),+ $(,)?) => {$(
        impl ColumnValue for $kind {
            const DTYPE: &'static str = $dtype;

            fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column {
                Column::new(name.into(), values.cloned().collect::<Vec<$kind>>())
            }
        }

        impl ColumnValue for Option<$kind> {
            const DTYPE: &'static str = $dtype;
            const NULLABLE: bool = true;

            fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column {
                Column::new(name.into(), values.cloned().collect::<Vec<Option<$kind>>>())
            }
        }
    )+};
}

scalar_values! {
    String => "String",
    bool => "Boolean",
    u32 => "UInt32",
    u64 => "UInt64",
    f64 => "Float64",
}

impl ColumnValue for Vec<f64> {
    const DTYPE: &'static str = "List(Float64)";

    fn column<'a>(name: &str, values: impl Iterator<Item = &'a Self>) -> Column {
        let values: Vec<&Vec<f64>> = values.collect();
        let total_length = values.iter().map(|list| list.len()).sum();
        let mut builder = ListPrimitiveChunkedBuilder::<Float64Type>::new(
            name.into(),
            values.len(),
            total_length,
            DataType::Float64,
        );
        for list in values {
            builder.append_slice(list);
        }
        builder.finish().into_series().into_column()
    }
}

/// Declares tables as `name: RowStruct { column: type => "unit", ... }`.
///
/// The doc comments become the descriptions of the table and its columns in the metadata of Parquet files and
/// in the column reference.
macro_rules! tables {
    ($(
        $(#[doc = $about:literal])+
        $name:ident: $row:ident {
            $( $(#[doc = $sentence:literal])+ $field:ident: $kind:ty => $unit:literal, )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $row {
                $( $(#[doc = $sentence])+ pub $field: $kind, )+
            }

            impl TableRow for $row {
                const TABLE: TableSpec = TableSpec {
                    name: stringify!($name),
                    about: concat!($($about),+),
                    columns: &[$(
                        ColumnSpec {
                            name: stringify!($field),
                            dtype: <$kind as ColumnValue>::DTYPE,
                            nullable: <$kind as ColumnValue>::NULLABLE,
                            unit: $unit,
                            about: concat!($($sentence),+),
                        },
                    )+],
                };

                fn to_columns(rows: &[Self]) -> Vec<Column> {
                    vec![$( ColumnValue::column(stringify!($field), rows.iter().map(|row| &row.$field)) ),+]
                }
            }
        )+
    };
}

pub(super) use tables;
